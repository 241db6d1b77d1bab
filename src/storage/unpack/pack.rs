//! An unpacked layer → its tar, bit for bit.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat};
use sha2::{Digest as _, Sha256};

use super::ASIDE;
use super::record::{Content, Record, Records, padding};
use super::sparse::Segment;
use crate::error::{Context, Error, Result};
use crate::image::digest::{DiffId, Digest};
use crate::sys::lookup::openat2;

const BUFFER: usize = 256 * 1024;

/// Writes the tar of the layer in `dir` to `output`, and checks that it is the one that was unpacked.
pub(in crate::storage) fn pack(dir: &Path, diff_id: &DiffId, output: impl Write) -> Result<()> {
    let open = |name: &str| {
        openat(CWD, dir.join(name), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .context(|| format!("cannot open {}", dir.join(name).display()))
    };
    let mut pack = Pack {
        diff: open("diff")?,
        aside: open(ASIDE)?,
        has_aside: std::fs::read_dir(dir.join(ASIDE)).is_ok_and(|mut entries| entries.next().is_some()),
        output,
        digest: Sha256::new(),
        buffer: vec![0; BUFFER],
    };
    let mut records = Records::open(open("entries.zst")?.into())?;
    let mut number = 0u32;
    while let Some(record) = records.next()? {
        match record {
            Record::Raw(bytes) => pack.put(&bytes)?,
            Record::Content(content) => {
                pack.content(&content, number)?;
                number += 1;
            }
        }
    }
    let digest = Digest::from_bytes(pack.digest.finalize().into());
    if digest != *diff_id {
        return Err(Error::new(format!("the layer {diff_id} is damaged: its files now give {digest}"))
            .hint("remove and pull the image again"));
    }
    Ok(())
}

struct Pack<W> {
    diff: OwnedFd,
    aside: OwnedFd,
    has_aside: bool,
    output: W,
    digest: Sha256,
    buffer: Vec<u8>,
}

impl<W: Write> Pack<W> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.digest.update(bytes);
        self.output.write_all(bytes).context(|| "cannot write the layer")
    }

    fn content(&mut self, content: &Content, number: u32) -> Result<()> {
        let shown = || format!("cannot read {} of the layer", content.path.escape_ascii());
        let mut file = self.open(content, number).context(shown)?;
        match &content.segments {
            None => self.copy(&mut file, content.size).context(shown)?,
            Some(segments) => {
                for Segment { offset, length } in segments {
                    file.seek(SeekFrom::Start(*offset)).context(shown)?;
                    self.copy(&mut file, *length).context(shown)?;
                }
            }
        }
        if content.padded {
            let zeros = [0; super::tape::BLOCK];
            self.put(&zeros[..usize::try_from(padding(content.size)).unwrap_or_default()])?;
        }
        Ok(())
    }

    fn open(&self, content: &Content, number: u32) -> rustix::io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        if self.has_aside {
            match openat(&self.aside, number.to_string(), flags, Mode::empty()) {
                Err(rustix::io::Errno::NOENT) => {}
                opened => return opened.map(File::from),
            }
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(&self.diff, &content.path, flags, resolve).map(File::from)
    }

    fn copy(&mut self, file: &mut File, mut left: u64) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let length = file.read(&mut buffer[..wanted]).context(|| "cannot read")?;
            if length == 0 {
                return Err(Error::new("it is shorter than it was"));
            }
            self.put(&buffer[..length])?;
            left -= length as u64;
        }
        self.buffer = buffer;
        Ok(())
    }
}
