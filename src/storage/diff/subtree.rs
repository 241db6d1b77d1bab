//! One file or directory of a tree as a tar, for `cp`: as it is, without a word about layers.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{FileType, fstat};

use super::archive::{Archive, Sink};
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

/// Writes the tar of what `source` is, opened for reading unless it is a named pipe, and of all that is below. It is called `name`; what is in a
/// directory without a name stands at the top of the tar. With `holes` the tar has them, in GNU tar's format, which not
/// every reader knows. Answers what went not quite well, for warnings.
pub(crate) fn send(source: OwnedFd, name: &[u8], output: impl Write, holes: bool) -> Result<Vec<String>> {
    many_descriptors();
    // Headers and small files together; the reader at the other end of a pipe is not woken for each.
    let stream = Stream::new(BufWriter::with_capacity(TOGETHER, output)).with_holes(holes);
    let (mut output, shrunk) = archive(source, name, stream)?.into_parts();
    output.flush().context(|| "cannot write the tar")?;
    let shown = |path: &Vec<u8>| {
        format!("{} became shorter while it was copied: the copy ends with zeros", path.escape_ascii())
    };
    Ok(shrunk.iter().map(shown).collect())
}

fn archive<S: Sink>(source: OwnedFd, name: &[u8], sink: S) -> Result<S> {
    let mut archive = Archive::new(sink, None, &Ids::default(), Remembered::default());
    let stat = fstat(&source).context(|| "cannot examine the source")?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {}
        FileType::RegularFile => {
            archive.opened(name, File::from(source))?;
            return archive.finish();
        }
        FileType::Fifo => {
            archive.named_pipe(name, &stat)?;
            return archive.finish();
        }
        _ => return Err(Error::new(format!("{} is neither a file nor a directory", name.escape_ascii()))),
    }
    let directory = Rc::new(source);
    let mut report = Report::new(&mut archive, &[]);
    let state = if name.is_empty() { State::Same } else { State::Added };
    report.enter(name, &directory, stat, state, false)?;
    let all = Merged::plain(directory.try_clone().context(|| "cannot examine the source")?);
    compare::directory(&all, &Merged::default(), &mut report)?;
    report.leave()?;
    archive.finish()
}
