//! A tar as it is read, block by block: from the queue of a layer's decompressor (`chunk`), or straight from a file or a
//! pipe.

use std::io::Read;
use std::os::fd::BorrowedFd;

use rustix::fs::{SeekFrom, ftruncate, seek};
use rustix::io::Errno;

use super::entry::Entry;
use super::sparse::Segment;
use crate::error::{Context, Error, Result};

/// The unit of a tar.
pub(in crate::storage) const BLOCK: usize = 512;
/// What is read at once; it stays in a second-level cache on its way to the file.
const BUFFER: usize = 256 * 1024;

/// Takes pieces of a payload.
pub(in crate::storage) type Each<'e> = dyn FnMut(&[u8]) -> Result<()> + 'e;

/// Where the bytes of a tar come from.
pub(in crate::storage) trait Tape {
    /// The next block; `None` at a clean end.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>>;

    /// Exactly `count` bytes, handed on piece by piece.
    fn take(&mut self, count: u64, each: &mut Each<'_>) -> Result<()>;
}

pub(super) fn truncated() -> Error {
    Error::new("the tar is truncated")
}

/// Writes the payload of `entry` to the empty `file`, with holes where the entry has them; the padding is left.
pub(in crate::storage) fn write_payload(tape: &mut dyn Tape, entry: &Entry, file: BorrowedFd<'_>) -> Result<()> {
    let failed = |e: Errno| Error::wrap(format!("cannot write {}", entry.path.escape_ascii()), e);
    let mut write = |bytes: &[u8]| write_all(file, bytes).map_err(failed);
    let Some(sparse) = &entry.sparse else { return tape.take(entry.payload, &mut write) };
    ftruncate(file, sparse.size).map_err(failed)?;
    for Segment { offset, length } in &sparse.segments {
        seek(file, SeekFrom::Start(*offset)).map_err(failed)?;
        tape.take(*length, &mut write)?;
    }
    Ok(())
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A tar from a file or a pipe.
pub(in crate::storage) struct Plain<R> {
    input: R,
    buffer: Vec<u8>,
    /// The bytes at hand.
    at: usize,
    end: usize,
}

impl<R: Read> Plain<R> {
    pub(in crate::storage) fn new(input: R) -> Self {
        Self { input, buffer: vec![0; BUFFER], at: 0, end: 0 }
    }

    /// Reads what follows the tar: whoever writes it must not get a broken pipe.
    pub(in crate::storage) fn drain(&mut self) -> Result<()> {
        loop {
            self.at = self.end;
            if self.read()? == 0 {
                return Ok(());
            }
        }
    }

    /// Reads on behind the bytes at hand; 0 at the end.
    fn read(&mut self) -> Result<usize> {
        if self.at == self.end {
            (self.at, self.end) = (0, 0);
        }
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.at.., 0);
            (self.at, self.end) = (0, self.end - self.at);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                read => {
                    let read = read.context(|| "cannot read the tar")?;
                    self.end += read;
                    return Ok(read);
                }
            }
        }
    }
}

impl<R: Read> Tape for Plain<R> {
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        while self.end - self.at < BLOCK {
            if self.read()? == 0 {
                return if self.at == self.end { Ok(None) } else { Err(truncated()) };
            }
        }
        let block = self.buffer[self.at..self.at + BLOCK].try_into().map_err(|_| truncated())?;
        self.at += BLOCK;
        Ok(Some(block))
    }

    fn take(&mut self, count: u64, each: &mut Each<'_>) -> Result<()> {
        let mut left = count;
        while left > 0 {
            if self.at == self.end && self.read()? == 0 {
                return Err(truncated());
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.end - self.at);
            each(&self.buffer[self.at..self.at + length])?;
            self.at += length;
            left -= length as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, as a pipe may.
    struct Drops<'b>(&'b [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    #[test]
    fn blocks_and_payloads_however_they_arrive() {
        let bytes: Vec<u8> = (0..BUFFER as u32 * 3 + 700).map(|number| number.to_le_bytes()[1]).collect();
        for drop in [1 << 20, BUFFER - 1, 7001] {
            let mut tape = Plain::new(Drops(&bytes, drop));
            assert_eq!(tape.block().expect("reads").as_ref().map(|block| &block[..]), Some(&bytes[..BLOCK]));
            let mut seen = Vec::new();
            let payload = 3 * BUFFER - BLOCK + 100;
            tape.take(payload as u64, &mut |piece| {
                seen.extend_from_slice(piece);
                Ok(())
            })
            .expect("reads");
            assert_eq!(seen, bytes[BLOCK..BLOCK + payload]);
            assert!(tape.block().expect("reads").is_some());
            // 88 bytes are left.
            assert_eq!(tape.block().expect_err("is cut off").to_string(), "the tar is truncated");
            tape.drain().expect("reads");
            assert_eq!(tape.block().expect("reads"), None);
            assert!(tape.take(1, &mut |_| Ok(())).is_err());
        }
    }
}
