//! Compressed bytes in, chunks of tar out. The format is told from the first bytes, not from what somebody said it is.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, channel};

use super::chunk::{CHUNK, Chunk};
use crate::error::{Context, Error, Result};
use crate::storage::limits::Limits;

type Queue = SyncSender<Result<Arc<Chunk>>>;

/// Decompresses `input` to its end into both queues; gives the number of decompressed bytes. A problem goes to
/// `writer`, which is the side that reports.
pub(super) fn run(input: impl Read, limits: &Limits, digest: SyncSender<Arc<Chunk>>, writer: &Queue) {
    if let Err(e) = pump(input, limits, &digest, writer) {
        // The writer is gone when it has failed by itself.
        let _ = writer.send(Err(e));
    }
}

fn pump(input: impl Read, limits: &Limits, digest: &SyncSender<Arc<Chunk>>, writer: &Queue) -> Result<()> {
    let received = Rc::new(Cell::new(0));
    let counted = Counted { input, count: Rc::clone(&received) };
    let (format, mut tar) = decoder(BufReader::with_capacity(CHUNK, counted))?;
    let (pool, returned) = channel();
    let mut total = 0u64;
    loop {
        let mut bytes: Vec<u8> = returned.try_recv().unwrap_or_default();
        bytes.resize(CHUNK, 0);
        let length = fill(&mut tar, &mut bytes).context(|| format!("the layer's {format} stream is broken"))?;
        bytes.truncate(length);
        total += length as u64;
        limits.check_bytes(total, received.get())?;
        let chunk = Arc::new(Chunk { bytes, pool: pool.clone() });
        if length == 0 || writer.send(Ok(Arc::clone(&chunk))).is_err() || digest.send(chunk).is_err() {
            return Ok(());
        }
    }
}

/// Reads until `buffer` is full or the input ends.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

fn decoder<'a>(mut input: impl BufRead + 'a) -> Result<(&'static str, Box<dyn Read + 'a>)> {
    let start = input.fill_buf().context(|| "cannot read the layer")?;
    Ok(match start {
        [0x1f, 0x8b, ..] => ("gzip", Box::new(flate2::bufread::MultiGzDecoder::new(input))),
        // A frame, or a skippable one in front of it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            ("zstd", Box::new(zstd::Decoder::with_buffer(input).context(|| "cannot decompress zstd")?))
        }
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => return Err(unsupported("bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => return Err(unsupported("xz")),
        _ => ("tar", Box::new(input)),
    })
}

fn unsupported(format: &str) -> Error {
    Error::new(format!("the layer is compressed with {format}"))
        .hint("layers are plain tar, gzip or zstd; decompress it first")
}

/// Counts what comes in, to tell a decompression bomb.
struct Counted<R> {
    input: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.count.set(self.count.get() + length as u64);
        Ok(length)
    }
}
