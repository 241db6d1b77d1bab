//! `cp`: files in and out of containers, as a tar between two processes. The one on a container's side has its root and
//! nothing else (`inside`), the one on the host's side is this process with the rights of whoever called it.

mod inside;
mod place;

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

pub(crate) use self::inside::{Access, Inside};
use self::inside::{lookup, real};
use self::place::{Found, Target, last_name, missing, target};
use crate::error::{Context, Error, Kind, Result};
use crate::storage::diff::send;
use crate::storage::extract::{ExtractOptions, Owner, extract};

/// One side of a copy.
#[derive(Debug)]
pub(crate) enum Side {
    /// A path in a container.
    Container(Box<Inside>, String),
    /// A path of the host.
    Host(String),
    /// `-`: a tar, from standard input or to standard output.
    Stream(OwnedFd),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct CopyOptions {
    /// What is copied into a container belongs to its user, else to whom it belonged.
    pub archive: bool,
    pub overwrite: bool,
}

/// As large as an unprivileged user may make a pipe.
const PIPE_SIZE: usize = 1 << 20;

/// Copies; answers what could not be copied, for warnings. For a single-threaded process.
pub(crate) fn copy(source: &Side, destination: &Side, options: CopyOptions) -> Result<Vec<String>> {
    if !matches!((source, destination), (Side::Container(..), _) | (_, Side::Container(..))) {
        return Err(Error::new("one of the two paths must be in a container: CONTAINER:PATH"));
    }
    let extracting = ExtractOptions {
        owner: match destination {
            Side::Container(inside, _) if options.archive => {
                let (uid, gid) = inside.owner();
                Owner::These(uid, gid)
            }
            Side::Container(..) => Owner::Tar,
            _ => Owner::Caller,
        },
        overwrite: options.overwrite,
    };
    let (found, typed) = match source {
        Side::Stream(input) => {
            let (there, real) = examine(destination)?;
            if there != Found::Directory {
                let Side::Container(inside, path) = destination else { return Ok(Vec::new()) };
                return Err(match there {
                    Found::Missing => missing(path, &format!("on container {}", inside.name())),
                    _ => Error::new("destination must be a directory when copying from stdin"),
                });
            }
            let input = input.try_clone().context(|| "cannot read standard input")?;
            return receive(destination, &Target { directory: real, name: String::new() }, input, extracting);
        }
        Side::Container(inside, path) => (examine(source)?.0, inside.absolute(path)),
        Side::Host(path) => (examine(source)?.0, path.clone()),
    };
    if found == Found::Missing {
        return Err(missing(&typed, &place_of(source)));
    }
    if let Side::Stream(output) = destination {
        let name = last_name(&typed).to_owned();
        let name = if name == "." || name == ".." || typed.ends_with("/.") { String::new() } else { name };
        let output = output.try_clone().context(|| "cannot write to standard output")?;
        let Side::Container(inside, _) = source else { return Ok(Vec::new()) };
        let job =
            inside.start(&RefCell::new(None), Access::Read, |root| send_from(root, &typed, &name, output, false))?;
        return job.finish();
    }
    let (there, real) = examine(destination)?;
    let shown = match destination {
        Side::Container(inside, path) => inside.absolute(path),
        Side::Host(path) => path.clone(),
        Side::Stream(_) => String::new(),
    };
    let target = target((&typed, found), (&shown, there), &real, &place_of(destination))?;
    transfer(source, &typed, destination, &target, extracting)
}

/// One side writes into a pipe, the other reads from it; a side in a container is another process.
fn transfer(
    source: &Side,
    typed: &str,
    destination: &Side,
    target: &Target,
    options: ExtractOptions,
) -> Result<Vec<String>> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context(|| "cannot make a pipe")?;
    // Refused when the user has many large pipes already; it works with a small one.
    let _ = fcntl_setpipe_size(&writer, PIPE_SIZE);
    let name = &target.name;
    match (source, destination) {
        (Side::Container(from, _), _) => {
            let reader = RefCell::new(Some(reader));
            let job = from.start(&reader, Access::Read, move |root| send_from(root, typed, name, writer, true))?;
            let reader = reader.take().ok_or_else(|| Error::new("the pipe is gone"))?;
            let received = receive(destination, target, reader, options);
            let sent = job.finish();
            both(sent, received)
        }
        (Side::Host(path), Side::Container(to, _)) => {
            let writer = RefCell::new(Some(writer));
            let job = to.start(&writer, Access::Write, move |root| receive_into(root, target, reader, options))?;
            let writer = writer.take().ok_or_else(|| Error::new("the pipe is gone"))?;
            let sent = open_source(|flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, 0.into()))
                .context(|| format!("cannot read {path}"))
                .and_then(|source| send(source, name.as_bytes(), File::from(writer), true));
            let received = job.finish();
            both(sent, received)
        }
        _ => Err(Error::new("one of the two paths must be in a container: CONTAINER:PATH")),
    }
}

/// The side that stopped first has the reason; the other one has a broken pipe or half a tar.
fn both(sent: Result<Vec<String>>, received: Result<Vec<String>>) -> Result<Vec<String>> {
    match (sent, received) {
        (Ok(sent), received) => received.map(|received| [sent, received].concat()),
        (Err(sent), Ok(_)) => Err(sent),
        (Err(sent), Err(received)) if sent.to_string().contains("Broken pipe") => Err(received),
        (Err(sent), Err(_)) => Err(sent),
    }
}

fn receive(destination: &Side, target: &Target, input: OwnedFd, options: ExtractOptions) -> Result<Vec<String>> {
    match destination {
        Side::Container(inside, _) => inside
            .start(&RefCell::new(None), Access::Write, move |root| receive_into(root, target, input, options))?
            .finish(),
        _ => {
            let directory = Path::new(&target.directory);
            let base = rustix::fs::open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, 0.into())
                .map_err(|e| not_there(e, &target.directory, "on the host"))?;
            extract(File::from(input), base.as_fd(), options)
        }
    }
}

fn receive_into(root: BorrowedFd<'_>, target: &Target, input: OwnedFd, options: ExtractOptions) -> Result<Vec<String>> {
    let base = lookup(root, &target.directory, OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(|e| not_there(e, &target.directory, "in the container"))?;
    extract(File::from(input), base.as_fd(), options)
}

/// `holes`: whoever reads the tar knows how holes are told.
fn send_from(root: BorrowedFd<'_>, path: &str, name: &str, output: OwnedFd, holes: bool) -> Result<Vec<String>> {
    let source = open_source(|flags| lookup(root, path, flags)).map_err(|e| not_there(e, path, "in the container"))?;
    send(source, name.as_bytes(), File::from(output), holes)
}

/// What is copied, open for reading. What has no content is not opened: it would wake whoever waits at a named pipe, or
/// the driver of a device.
fn open_source(open: impl Fn(OFlags) -> rustix::io::Result<OwnedFd>) -> rustix::io::Result<OwnedFd> {
    let place = open(OFlags::PATH)?;
    match FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) {
        // Should a running container put a named pipe there meanwhile, opening it must not wait.
        FileType::RegularFile | FileType::Directory => open(OFlags::RDONLY | OFlags::NONBLOCK),
        _ => Ok(place),
    }
}

/// What a side's path is, and without the links at its end.
fn examine(side: &Side) -> Result<(Found, String)> {
    match side {
        Side::Container(inside, path) => {
            let path = inside.absolute(path);
            inside.run(|root| {
                let (stat, real) = real(root, &path).map_err(|e| match e {
                    Errno::NOENT => missing(&path, "in the container"),
                    e => Error::wrap(format!("cannot examine {path} in the container"), e),
                })?;
                Ok((stat.map_or(Found::Missing, |stat| kind(&stat)), real))
            })
        }
        Side::Host(path) => {
            let failed = || format!("cannot examine {path}");
            let absolute = |path: &str| std::path::absolute(path).map(|path| path.display().to_string());
            match rustix::fs::stat(path) {
                Ok(stat) => {
                    let real = std::fs::canonicalize(path).context(failed)?;
                    Ok((kind(&stat), real.display().to_string()))
                }
                Err(Errno::NOENT) => Ok((Found::Missing, absolute(path).context(failed)?)),
                Err(e) => Err(e).context(failed),
            }
        }
        Side::Stream(_) => Ok((Found::Directory, String::new())),
    }
}

fn kind(stat: &Stat) -> Found {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Found::Directory,
        _ => Found::File,
    }
}

fn not_there(error: Errno, path: &str, shown: &str) -> Error {
    match error {
        Errno::NOENT => missing(path, shown),
        error => Error::wrap(format!("cannot open {path} {shown}"), error),
    }
}

fn place_of(side: &Side) -> String {
    match side {
        Side::Container(inside, _) => format!("on container {}", inside.name()),
        _ => "on the host".to_owned(),
    }
}

/// `CONTAINER:PATH`, a path, or `-`, by Docker's rule: what begins with `/` or `.` is a path.
pub(crate) fn parse(word: &str) -> (Option<&str>, &str) {
    if word.starts_with(['/', '.']) {
        return (None, word);
    }
    match word.split_once(':') {
        Some((container, path)) if !container.contains('/') => (Some(container), path),
        _ => (None, word),
    }
}

/// # Errors
/// When a path is empty.
pub(crate) fn check(source: &str, destination: &str) -> Result<()> {
    let (from, to) = (parse(source), parse(destination));
    let bad = |why: &str| Err(Error::new(format!("invalid arguments {source:?}, {destination:?}: {why}")));
    if from.1.is_empty() || to.1.is_empty() {
        return bad("you must specify paths");
    }
    if from.0.is_none() && to.0.is_none() {
        return bad("you must use at least one container").map_err(|e| e.with_kind(Kind::General));
    }
    Ok(())
}
