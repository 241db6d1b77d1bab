//! `entries.zst`: what is needed to rebuild a layer's tar bit for bit from its unpacked files.
//!
//! ```text
//! "rpod-entries 1\n", then records, all in one zstd stream
//!   0  length bytes                                   stands in the tar as it is: headers, odd padding, the end
//!   1  flags path size [count (offset length)…]       content of a file under diff/, then zeros up to a whole block
//! ```
//! Numbers are LEB128. Flag 1: no padding follows, it is in the next record. Flag 2: sparse, the stretches follow.
//! The Nth record of type 1 is looked for as `aside/N` first: content whose place in the layer was taken by a later entry.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::sparse::Segment;
use super::tape::{BLOCK, Each, Tape};
use crate::error::{Context, Error, Result};
use crate::storage::limits::Limits;

const MAGIC: &[u8] = b"rpod-entries 1\n";
const RAW: u8 = 0;
const CONTENT: u8 = 1;
const FLAG_UNPADDED: u64 = 1;
const FLAG_SPARSE: u64 = 2;
/// Headers are mostly zeros: a higher level costs time and saves little.
const LEVEL: i32 = 1;
/// No record is larger: raw bytes come in pieces of at most one chunk.
const MAX_RAW: u64 = 1 << 20;

/// A piece of a tar.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    Raw(Vec<u8>),
    Content(Content),
}

/// Content that is kept in a file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::storage) struct Content {
    /// Relative to diff/, through no symlink.
    pub path: Vec<u8>,
    /// Bytes in the tar, without padding.
    pub size: u64,
    pub padded: bool,
    pub segments: Option<Vec<Segment>>,
}

/// Makes the file; the umask of a process that unpacks is 0.
pub(in crate::storage) fn create(path: &Path) -> Result<File> {
    let file = File::options().write(true).create_new(true).mode(0o644).open(path);
    file.context(|| format!("cannot create {}", path.display()))
}

/// Writes `entries.zst`.
pub(in crate::storage) struct Recorder {
    out: zstd::Encoder<'static, File>,
    /// Raw bytes not yet written, so that a header and its extensions make one record.
    raw: Vec<u8>,
    entries: u64,
    contents: u32,
}

impl Recorder {
    pub(in crate::storage) fn create(file: File) -> Result<Self> {
        let mut out = zstd::Encoder::new(file, LEVEL).context(|| "cannot start zstd")?;
        out.write_all(MAGIC).context(failed)?;
        Ok(Self { out, raw: Vec::new(), entries: 0, contents: 0 })
    }

    /// Bytes that stand in the tar as they are.
    pub(in crate::storage) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        if self.raw.len() + bytes.len() > 64 * 1024 {
            self.flush()?;
        }
        if bytes.len() > 64 * 1024 {
            return self.write_raw(bytes);
        }
        self.raw.extend_from_slice(bytes);
        Ok(())
    }

    /// Content that was put in a file. Its padding, unless it is zeros, comes as raw bytes.
    pub(in crate::storage) fn content(&mut self, content: &Content) -> Result<()> {
        self.flush()?;
        let flags =
            if content.padded { 0 } else { FLAG_UNPADDED } | if content.segments.is_some() { FLAG_SPARSE } else { 0 };
        let mut head = vec![CONTENT];
        put(&mut head, flags);
        put(&mut head, content.path.len() as u64);
        head.extend_from_slice(&content.path);
        put(&mut head, content.size);
        if let Some(segments) = &content.segments {
            put(&mut head, segments.len() as u64);
            for segment in segments {
                put(&mut head, segment.offset);
                put(&mut head, segment.length);
            }
        }
        self.contents += 1;
        self.out.write_all(&head).context(failed)
    }

    /// The number that the next [`Recorder::content`] will have.
    pub(super) fn next_content(&self) -> u32 {
        self.contents
    }

    /// Counts one more entry, refusing too many.
    pub(super) fn count_entry(&mut self, limits: &Limits) -> Result<()> {
        self.entries += 1;
        limits.check_entries(self.entries)
    }

    /// The number of entries.
    pub(in crate::storage) fn finish(mut self) -> Result<u64> {
        self.flush()?;
        self.out.finish().context(failed)?;
        Ok(self.entries)
    }

    fn flush(&mut self) -> Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let raw = std::mem::take(&mut self.raw);
        let result = self.write_raw(&raw);
        self.raw = raw;
        self.raw.clear();
        result
    }

    fn write_raw(&mut self, bytes: &[u8]) -> Result<()> {
        let mut head = vec![RAW];
        put(&mut head, bytes.len() as u64);
        self.out.write_all(&head).and_then(|()| self.out.write_all(bytes)).context(failed)
    }
}

/// A tape whose every byte is recorded: headers and what belongs to them.
pub(super) struct Recorded<'t> {
    pub tape: &'t mut dyn Tape,
    pub record: &'t mut Recorder,
}

impl Tape for Recorded<'_> {
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let block = self.tape.block()?;
        block.iter().try_for_each(|block| self.record.raw(block))?;
        Ok(block)
    }

    fn take(&mut self, count: u64, each: &mut Each<'_>) -> Result<()> {
        let record = &mut *self.record;
        self.tape.take(count, &mut |bytes| {
            record.raw(bytes)?;
            each(bytes)
        })
    }
}

/// Reads `entries.zst`.
pub(super) struct Records(BufReader<zstd::Decoder<'static, BufReader<File>>>);

impl Records {
    pub(super) fn open(file: File) -> Result<Self> {
        let mut input = BufReader::new(zstd::Decoder::new(file).context(|| "cannot start zstd")?);
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic).context(damaged)?;
        if magic != MAGIC {
            return Err(Error::new("entries.zst is of another version of rpod"));
        }
        Ok(Self(input))
    }

    /// `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        let mut tag = [0];
        if self.0.read(&mut tag).context(damaged)? == 0 {
            return Ok(None);
        }
        match tag[0] {
            RAW => {
                let length = self.number()?;
                self.bytes(length, MAX_RAW).map(|bytes| Some(Record::Raw(bytes)))
            }
            CONTENT => self.content().map(|content| Some(Record::Content(content))),
            _ => Err(Error::new(damaged())),
        }
    }

    fn content(&mut self) -> Result<Content> {
        let flags = self.number()?;
        let length = self.number()?;
        let path = self.bytes(length, MAX_RAW)?;
        let size = self.number()?;
        let mut segments = None;
        if flags & FLAG_SPARSE != 0 {
            let mut list = Vec::new();
            for _ in 0..self.number()? {
                list.push(Segment { offset: self.number()?, length: self.number()? });
            }
            segments = Some(list);
        }
        Ok(Content { path, size, padded: flags & FLAG_UNPADDED == 0, segments })
    }

    fn bytes(&mut self, length: u64, limit: u64) -> Result<Vec<u8>> {
        let length =
            usize::try_from(length).ok().filter(|n| *n as u64 <= limit).ok_or_else(|| Error::new(damaged()))?;
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).context(damaged)?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).context(damaged)?;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::new(damaged()))
    }
}

/// How many zeros follow `size` bytes of content in a tar.
pub(in crate::storage) fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        out.push(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return;
        }
    }
}

fn failed() -> &'static str {
    "cannot write the layer's entries.zst"
}

fn damaged() -> &'static str {
    "the layer's entries.zst is damaged"
}
