//! One file or directory of a tree as a tar, for `cp`: as it is, without a word about layers.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{FileType, fstat};

use super::archive::Archive;
use super::compare;
use super::ids::Ids;
use super::many_descriptors;
use super::merged::Merged;
use super::remembered::Remembered;
use super::report::{Report, State};
use super::stream::Stream;
use crate::error::{Context, Error, Result};

/// Bytes that are written at once; larger pieces go past it.
const TOGETHER: usize = 64 * 1024;

/// Writes the tar of what `source` is, opened for reading, and of all that is below. It is called `name`; what is in a
/// directory without a name stands at the top of the tar.
pub(crate) fn send(source: OwnedFd, name: &[u8], output: impl Write) -> Result<()> {
    many_descriptors();
    // Headers and small files together; the reader at the other end of a pipe is not woken for each.
    let mut output = BufWriter::with_capacity(TOGETHER, output);
    archive(source, name, &mut output)?;
    output.flush().context(|| "cannot write the tar")
}

fn archive(source: OwnedFd, name: &[u8], output: impl Write) -> Result<()> {
    let mut archive = Archive::new(Stream::new(output), None, &Ids::default(), Remembered::default());
    let stat = fstat(&source).context(|| "cannot examine the source")?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::new(format!("{} is neither a file nor a directory", name.escape_ascii())));
        }
        archive.opened(name, File::from(source))?;
        return archive.finish().map(drop);
    }
    let directory = Rc::new(source);
    let mut report = Report::for_copies(&mut archive);
    let state = if name.is_empty() { State::Same } else { State::Added };
    report.enter(name, &directory, stat, state, false)?;
    let all = Merged::plain(directory.try_clone().context(|| "cannot examine the source")?);
    compare::directory(&all, &Merged::default(), &mut report)?;
    report.leave()?;
    archive.finish().map(drop)
}
