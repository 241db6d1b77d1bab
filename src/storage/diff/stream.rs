//! A tar written as it is made.

use std::fs::File;
use std::io::{Read, Write};

use super::archive::Sink;
use super::header::padding;
use crate::error::{Context, Result};

const BUFFER: usize = 256 * 1024;

pub(super) struct Stream<W> {
    output: W,
    buffer: Vec<u8>,
}

impl<W: Write> Stream<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, buffer: vec![0; BUFFER] }
    }

    fn put(&mut self, length: usize) -> Result<()> {
        self.output.write_all(&self.buffer[..length]).context(|| "cannot write the tar")
    }
}

impl<W: Write> Sink for Stream<W> {
    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).context(|| "cannot write the tar")
    }

    /// A file that a running container makes shorter meanwhile ends with zeros: the header has told its size.
    fn content(&mut self, path: &[u8], mut file: File, size: u64) -> Result<()> {
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
            let read = file.read(&mut self.buffer[..wanted]);
            let mut length = read.context(|| format!("cannot read /{}", path.escape_ascii()))?;
            if length == 0 {
                self.buffer[..wanted].fill(0);
                length = wanted;
            }
            self.put(length)?;
            left -= length as u64;
        }
        self.raw(padding(size))
    }
}
