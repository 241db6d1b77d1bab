//! The decompressed tar on its way from the decompressor to its two readers (digest and writer): large shared buffers
//! through bounded queues, recycled, so that a layer of any size needs a few megabytes of memory.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::tape::{BLOCK, Each, Tape, truncated};
use crate::error::Result;

/// A multiple of [`BLOCK`], so that no block lies across two chunks; small enough for a second-level cache.
pub(super) const CHUNK: usize = 256 * 1024;
/// How many chunks may wait for a reader.
pub(super) const QUEUE: usize = 24;

/// A buffer that returns to the decompressor when its last reader is done.
#[derive(Debug)]
pub(super) struct Chunk {
    pub bytes: Vec<u8>,
    pub pool: Sender<Vec<u8>>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // Nobody wants it any more once the decompressor is done.
        let _ = self.pool.send(std::mem::take(&mut self.bytes));
    }
}

/// Reads the tar block by block. Every chunk but the last is full.
#[derive(Debug)]
pub(super) struct Blocks {
    queue: Receiver<Result<Arc<Chunk>>>,
    chunk: Option<Arc<Chunk>>,
    at: usize,
}

impl Blocks {
    pub(super) fn new(queue: Receiver<Result<Arc<Chunk>>>) -> Self {
        Self { queue, chunk: None, at: 0 }
    }

    /// The bytes at hand; empty at the end.
    pub(super) fn fill(&mut self) -> Result<&[u8]> {
        while self.chunk.as_ref().is_none_or(|chunk| self.at == chunk.bytes.len()) {
            self.at = 0;
            // The queue ends when the decompressor has sent everything.
            match self.queue.recv() {
                Ok(chunk) => self.chunk = Some(chunk?),
                Err(_) => {
                    self.chunk = None;
                    return Ok(&[]);
                }
            }
        }
        Ok(self.chunk.as_ref().map_or(&[], |chunk| &chunk.bytes[self.at..]))
    }

    /// Goes on by `count` of the bytes that [`Blocks::fill`] has shown.
    pub(super) fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Tape for Blocks {
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let bytes = self.fill()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let block: [u8; BLOCK] = bytes.get(..BLOCK).and_then(|b| b.try_into().ok()).ok_or_else(truncated)?;
        self.consume(BLOCK);
        Ok(Some(block))
    }

    fn take(&mut self, count: u64, each: &mut Each<'_>) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let bytes = self.fill()?;
            if bytes.is_empty() {
                return Err(truncated());
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            each(&bytes[..length])?;
            self.consume(length);
            left -= length as u64;
        }
        Ok(())
    }
}
