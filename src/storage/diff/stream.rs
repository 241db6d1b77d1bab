//! A tar written as it is made.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use rustix::fs::Stat;
use rustix::io::Errno;

use super::archive::Sink;
use super::header::padding;
use super::holes::Map;
use crate::error::{Context, Result};
use crate::storage::unpack::sparse::Segment;

const BUFFER: usize = 256 * 1024;

pub(super) struct Stream<W> {
    output: W,
    buffer: Vec<u8>,
    /// Holes stay holes: for a reader that knows the format.
    holes: bool,
    /// Files that became shorter than their headers had told.
    shrunk: Vec<Vec<u8>>,
}

impl<W: Write> Stream<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, buffer: vec![0; BUFFER], holes: false, shrunk: Vec::new() }
    }

    pub(super) fn with_holes(self, holes: bool) -> Self {
        Self { holes, ..self }
    }

    /// What was written to, and the paths of the files that became shorter meanwhile.
    pub(super) fn into_parts(self) -> (W, Vec<Vec<u8>>) {
        (self.output, self.shrunk)
    }

    /// A file that a running container makes shorter meanwhile ends with zeros: the header has told its size.
    fn copy(&mut self, path: &[u8], file: &mut File, size: u64) -> Result<()> {
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
            let read = file.read(&mut self.buffer[..wanted]);
            let mut length = read.context(|| format!("cannot read /{}", path.escape_ascii()))?;
            if length == 0 {
                self.buffer[..wanted].fill(0);
                length = wanted;
                if self.shrunk.last().is_none_or(|last| last != path) {
                    self.shrunk.push(path.to_vec());
                }
            }
            self.output.write_all(&self.buffer[..length]).context(|| "cannot write the tar")?;
            left -= length as u64;
        }
        Ok(())
    }
}

impl<W: Write> Sink for Stream<W> {
    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).context(|| "cannot write the tar")
    }

    fn content(&mut self, path: &[u8], mut file: File, size: u64) -> Result<()> {
        self.copy(path, &mut file, size)?;
        self.raw(padding(size))
    }

    fn map(&self, file: &File, stat: &Stat) -> Result<Option<Map>, Errno> {
        if self.holes { Map::of(file, stat) } else { Ok(None) }
    }

    fn stretches(&mut self, path: &[u8], mut file: File, map: &Map) -> Result<()> {
        self.raw(&map.text)?;
        for Segment { offset, length } in &map.segments {
            file.seek(SeekFrom::Start(*offset)).context(|| format!("cannot read /{}", path.escape_ascii()))?;
            self.copy(path, &mut file, *length)?;
        }
        self.raw(padding(map.payload()))
    }
}
