//! Layers as they travel: plain, gzip, zstd. Compressed on several cores, and always to the same bytes: how many threads there
//! are changes the time, not the result, so that the digest of a layer compressed here can be met again.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use libdeflater::{CompressionLvl, Compressor};

use crate::error::{Context, Error, Result};
use crate::image::manifest::{DOCKER_LAYER, OCI_LAYER};

/// Of libdeflate: as small as zlib makes it at its default of 6, in half the time.
const GZIP_LEVEL: u32 = 4;
/// The library's default.
const ZSTD_LEVEL: i32 = 3;
/// Bytes of input that one thread takes at a time.
const BLOCK: usize = 1 << 20;
/// More threads than this for one layer, of which a push has two at a time, only cost memory: 2 × [`BLOCK`] each.
const MOST_THREADS: usize = 6;
/// Bytes of input that one of its threads takes at a time; its own choice would be four times the memory.
const ZSTD_JOB: u32 = 2 << 20;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    /// 1 to 9
    Gzip(u32),
    /// 1 to 22
    Zstd(i32),
}

impl Form {
    /// `gzip`, `zstd` and a level.
    pub(crate) fn parse(name: &str, level: Option<i32>) -> Result<Self> {
        let bad = |most: i32| {
            Error::new(format!("{name} has no compression level {}", level.unwrap_or_default()))
                .hint(format!("choose from 1 to {most}"))
        };
        match name {
            "gzip" => match level {
                None => Ok(Self::Gzip(GZIP_LEVEL)),
                Some(level) => u32::try_from(level).ok().filter(|l| (1..=9).contains(l)).map(Self::Gzip).ok_or(bad(9)),
            },
            "zstd" => match level.unwrap_or(ZSTD_LEVEL) {
                level @ 1..=22 => Ok(Self::Zstd(level)),
                _ => Err(bad(22)),
            },
            "zstd:chunked" => Err(Error::new("layers cannot be compressed as zstd:chunked").hint(
                "its table of contents is for partial pulls, which rpod does not do; zstd is the same without it",
            )),
            _ => Err(Error::new(format!("unknown compression {name:?}")).hint("choose from: gzip, zstd")),
        }
    }

    pub(crate) fn gzip() -> Self {
        Self::Gzip(GZIP_LEVEL)
    }

    /// The form of a layer of this media type; `None` for those that are no tar or compressed by something else.
    pub(crate) fn of_media_type(media_type: &str) -> Option<Self> {
        let rest = [OCI_LAYER, DOCKER_LAYER, "application/vnd.oci.image.layer.nondistributable.v1.tar"]
            .iter()
            .find_map(|base| media_type.strip_prefix(base))
            .or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs.foreign.diff.tar"))?;
        match rest {
            "" => Some(Self::Plain),
            "+gzip" | ".gzip" => Some(Self::gzip()),
            "+zstd" | ".zstd" => Some(Self::Zstd(ZSTD_LEVEL)),
            _ => None,
        }
    }

    /// The media type in manifests of OCI, or of Docker's schema 2, which has none for zstd.
    pub(crate) fn media_type(self, is_docker: bool) -> Result<String> {
        Ok(match (self, is_docker) {
            (Self::Plain, true) => DOCKER_LAYER.to_owned(),
            (Self::Plain, false) => OCI_LAYER.to_owned(),
            (Self::Gzip(_), true) => format!("{DOCKER_LAYER}.gzip"),
            (Self::Gzip(_), false) => format!("{OCI_LAYER}+gzip"),
            (Self::Zstd(_), false) => format!("{OCI_LAYER}+zstd"),
            (Self::Zstd(_), true) => {
                return Err(Error::new("a manifest of Docker's schema 2 cannot name layers compressed by zstd")
                    .hint("use --format oci, or --compression-format gzip"));
            }
        })
    }

    /// Whether both are the same algorithm, at whatever level.
    pub(crate) fn same_algorithm(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// Threads worth using here.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_THREADS)
}

/// Reads `input` to its end; `out` gets the pieces in order.
pub(crate) fn compress(
    form: Form,
    threads: usize,
    mut input: impl Read,
    out: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    match form {
        Form::Plain => loop {
            let block = read_block(&mut input, BLOCK)?;
            if block.is_empty() {
                return Ok(());
            }
            out(&block)?;
        },
        Form::Gzip(level) => gzip(level, threads.max(1), &mut input, out),
        Form::Zstd(level) => zstd(level, threads, &mut input, out),
    }
}

/// A block for a thread, and where its result goes.
struct Job {
    block: Vec<u8>,
    reply: SyncSender<Result<Vec<u8>>>,
}

/// A gzip member for each block, made side by side (RFC 1952, 2.2: a file is a series of members; as in eStargz).
fn gzip(level: u32, threads: usize, input: &mut impl Read, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let level = i32::try_from(level).ok().and_then(|level| CompressionLvl::new(level).ok()).unwrap_or_default();
    let (jobs, queue) = channel::<Job>();
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(level, &queue));
        }
        // Dropped on every way out, which ends the threads.
        let jobs = jobs;
        let mut waiting: VecDeque<Receiver<Result<Vec<u8>>>> = VecDeque::new();
        let mut next = |result: Receiver<Result<Vec<u8>>>| -> Result<()> {
            out(&result.recv().context(|| "a compressing thread ended early")??)
        };
        let mut is_first = true;
        loop {
            let block = read_block(input, BLOCK)?;
            // Nothing at all is a member too.
            if block.is_empty() && !is_first {
                break;
            }
            is_first = false;
            let is_last = block.len() < BLOCK;
            let (reply, result) = sync_channel(1);
            jobs.send(Job { block, reply }).map_err(|_| Error::new("the compressing threads ended early"))?;
            waiting.push_back(result);
            if waiting.len() > threads
                && let Some(first) = waiting.pop_front()
            {
                next(first)?;
            }
            if is_last {
                break;
            }
        }
        waiting.into_iter().try_for_each(next)
    })
}

fn work(level: CompressionLvl, queue: &Mutex<Receiver<Job>>) {
    let mut compressor = Compressor::new(level);
    loop {
        let next = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(Job { block, reply }) = next else { return };
        let mut member = vec![0; compressor.gzip_compress_bound(block.len())];
        let result = compressor.gzip_compress(&block, &mut member).context(|| "cannot compress a layer");
        // Nobody waits any more after an error elsewhere.
        let _ = reply.send(result.map(|length| {
            member.truncate(length);
            member
        }));
    }
}

fn zstd(level: i32, threads: usize, input: &mut impl Read, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let failed = || "cannot compress a layer";
    let mut failure = None;
    let sink = Sink { out, failure: &mut failure };
    let copied = (|| {
        let mut encoder = zstd::Encoder::new(sink, level)?;
        encoder.include_checksum(true)?;
        // With no worker at all the result would be another one.
        encoder.multithread(u32::try_from(threads.clamp(1, MOST_THREADS)).unwrap_or(1))?;
        encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(ZSTD_JOB))?;
        std::io::copy(input, &mut encoder)?;
        encoder.finish().map(drop)
    })();
    match failure {
        Some(error) => Err(error),
        None => copied.context(failed),
    }
}

/// A writer over `out` that keeps the error it stopped at.
struct Sink<'a> {
    out: &'a mut dyn FnMut(&[u8]) -> Result<()>,
    failure: &'a mut Option<Error>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match (self.out)(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                *self.failure = Some(error);
                Err(ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Up to `size` bytes; fewer only at the end.
fn read_block(input: &mut impl Read, size: usize) -> Result<Vec<u8>> {
    let mut block = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match input.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::wrap("cannot read the layer", e)),
        }
    }
    block.truncate(filled);
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        (0..length)
            .map(|n| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Half of it repeats.
                if n % 8192 < 4096 { (n % 61) as u8 } else { (state >> 33) as u8 }
            })
            .collect()
    }

    fn compressed(form: Form, threads: usize, input: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        compress(form, threads, input, &mut out).expect("compresses");
        bytes
    }

    #[test]
    fn comes_back_and_does_not_depend_on_threads() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 77] {
            let input = noise(length);
            for form in [Form::Gzip(1), Form::gzip(), Form::Gzip(9)] {
                let one = compressed(form, 1, &input);
                assert!(one == compressed(form, 5, &input), "{form:?} {length}");
                let mut back = Vec::new();
                flate2::read::MultiGzDecoder::new(one.as_slice()).read_to_end(&mut back).expect("gzip");
                assert!(back == input, "{form:?} {length}");
            }
            let one = compressed(Form::Zstd(3), 1, &input);
            assert!(one == compressed(Form::Zstd(3), 4, &input), "zstd {length}");
            assert!(zstd::decode_all(one.as_slice()).expect("zstd") == input);
            assert!(compressed(Form::Plain, 1, &input) == input);
        }
        let input = noise(4 * BLOCK);
        assert!(compressed(Form::gzip(), 2, &input).len() < input.len() * 6 / 10);
    }

    #[test]
    fn an_error_of_the_reader_of_the_pieces_ends_it() {
        for form in [Form::Plain, Form::gzip(), Form::Zstd(3)] {
            let mut out = |_: &[u8]| Err(Error::new("full"));
            let error = compress(form, 2, noise(3 * BLOCK).as_slice(), &mut out).expect_err("stops");
            assert_eq!(error.to_string(), "full", "{form:?}");
        }
    }

    #[test]
    fn levels_and_media_types() {
        assert_eq!(Form::parse("gzip", Some(9)).ok(), Some(Form::Gzip(9)));
        for (name, level) in
            [("gzip", Some(0)), ("gzip", Some(10)), ("zstd", Some(23)), ("xz", None), ("zstd:chunked", None)]
        {
            assert!(Form::parse(name, level).is_err(), "{name} {level:?}");
        }
        for form in [Form::Plain, Form::gzip(), Form::Zstd(ZSTD_LEVEL)] {
            for is_docker in [true, false] {
                let Ok(name) = form.media_type(is_docker) else { continue };
                assert_eq!(Form::of_media_type(&name), Some(form), "{name}");
            }
        }
        assert_eq!(Form::of_media_type("application/vnd.oci.image.layer.v1.tar+xz"), None);
    }
}
