//! What starts threads, in a process of its own: for those that fork a container or an unpacker afterwards.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Image, Progress, PullOptions, pull};
use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::registry;
use crate::state::paths::Dirs;
use crate::storage::Store;
use crate::sys::process::{Child, Fork, exit_now, fork};
use crate::sys::signal;
use crate::userns::IdMaps;
use crate::userns::enter::Failure;

/// A forked child at work, which sends its answer at the end.
#[derive(Debug)]
struct Running {
    child: Child,
    answer: OwnedFd,
    what: String,
}

impl Running {
    fn start<T: Serialize>(what: &str, f: impl FnOnce() -> Result<T>) -> Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context(|| "cannot make a pipe")?;
        let parent = getpid();
        match fork().context(|| format!("cannot start a process that {what}"))? {
            Fork::Child => {
                drop(reader);
                // Nobody waits for what it does once its parent is gone, and that may have ended already.
                if set_parent_process_death_signal(Some(Signal::KILL)).is_err() || getppid() != Some(parent) {
                    exit_now(1);
                }
                let answer = f().map_err(|e| Failure::from(&e));
                let sent = serde_json::to_vec(&answer).map(|bytes| File::from(writer).write_all(&bytes));
                exit_now(u8::from(!matches!(sent, Ok(Ok(())))))
            }
            Fork::Parent(child) => Ok(Self { child, answer: reader, what: what.to_owned() }),
        }
    }

    fn finish<T: DeserializeOwned>(self) -> Result<T> {
        let Self { child, answer: reader, what } = self;
        let mut answer = Vec::new();
        let read = File::from(reader).read_to_end(&mut answer);
        child.wait().context(|| format!("cannot wait for the process that {what}"))?;
        read.context(|| format!("cannot hear the process that {what}"))?;
        let answer: Result<T, Failure> =
            serde_json::from_slice(&answer).map_err(|_| Error::new(format!("the process that {what} was killed")))?;
        answer.map_err(Error::from)
    }
}

/// Runs `f`, which starts threads, in a forked child; this process stays single-threaded. `what` is for messages: pulls.
pub(crate) fn apart<T: Serialize + DeserializeOwned>(what: &str, f: impl FnOnce() -> Result<T>) -> Result<T> {
    Running::start(what, f)?.finish()
}

/// [`pull`], apart.
pub(crate) fn pull_apart(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    name: &str,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Image> {
    let (manifest, name): (Digest, Option<String>) = apart(&format!("pulls {name}"), || {
        pull(dirs, store, maps, name, options, progress).map(|image| (image.manifest, image.name))
    })?;
    Ok(Image { name, ..Image::read(store, manifest)? })
}

/// The content of a URL while it arrives. Reading gives an error at the end when not all of it came.
#[derive(Debug)]
pub(crate) struct Download {
    content: File,
    running: Option<Running>,
}

impl Download {
    pub(crate) fn start(url: &str) -> Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context(|| "cannot make a pipe")?;
        let running = Running::start("downloads", move || registry::download(url, &mut File::from(writer)).map(drop))?;
        Ok(Self { content: reader.into(), running: Some(running) })
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.content.read(buffer)? {
            0 if !buffer.is_empty() => match self.running.take() {
                Some(running) => running.finish::<()>().map(|()| 0).map_err(std::io::Error::other),
                None => Ok(0),
            },
            read => Ok(read),
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(Running { child, .. }) = self.running.take() {
            // Nobody wants the rest.
            let _ = signal::send(child.pidfd.as_fd(), libc::SIGKILL);
            let _ = child.wait();
        }
    }
}
