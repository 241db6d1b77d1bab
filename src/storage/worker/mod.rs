//! The process that unpacks and rebuilds layers: root of the user's id map, so that files carry mapped
//! owners. It is forked while its parent has one thread; after that any thread may give it jobs. It ends with its
//! parent or when the last [`UnpackWorker`] and [`Pending`] are dropped.
//!
//! ```text
//! process                                        worker
//! request + job socket + pipe end ─────────────▶ a thread per job
//! compressed layer ──pipe──────────────────────▶ staging/…: diff/ aside/ entries.zst layer.json
//!                 ◀──────────── what it was ────
//! keep or drop ────────────────────────────────▶ rename to layers/<diffid>
//!                 ◀───────────────────── done ──
//! ```
//! What it has kept gets on the disk later, by a child that nobody waits for (`unflushed`). What could not be fetched or
//! built again, and what is on a file system that keeps no order, is flushed before it is kept.

mod serve;
mod wire;

use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use self::wire::{Answer, Outcome, Request, Verdict};
use super::Store;
pub(crate) use super::diff::DiffJob;
use super::layer::{LayerMeta, Source};
use super::limits::Limits;
use crate::error::{Context, Error, Result};
use crate::image::digest::DiffId;
use crate::sys::process::Child;
use crate::userns::{IdMaps, enter};

/// As large as an unprivileged user may make a pipe (/proc/sys/fs/pipe-max-size).
const PIPE_SIZE: usize = 1 << 20;

/// A running worker. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct UnpackWorker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    control: Option<Mutex<OwnedFd>>,
    child: Option<Child>,
}

/// A layer to unpack.
#[derive(Debug, Clone)]
pub(crate) struct UnpackJob {
    /// The diff ID that the image's config promises; anything else is an error.
    pub expected: Option<DiffId>,
    pub limits: Limits,
    /// What the layer was compressed as, to be remembered with it.
    pub source: Option<Source>,
}

/// A job that the worker does. Dropped, an unpacked layer is thrown away.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pending {
    job: OwnedFd,
    /// Lives until all its jobs are done.
    _worker: Arc<Inner>,
}

/// The tar of a layer, being rebuilt.
#[derive(Debug)]
pub(crate) struct Packing {
    pub reader: PipeReader,
    pending: Pending,
}

impl UnpackWorker {
    /// Starts the worker. Only for a process with one thread.
    pub(crate) fn start(store: &Store, maps: &IdMaps) -> Result<Self> {
        let (control, theirs) = wire::pair()?;
        let child = enter::spawn(maps, || serve::run(store, maps, theirs))?;
        Ok(Self(Arc::new(Inner { control: Some(Mutex::new(control)), child: Some(child) })))
    }

    /// Unpacks what is written into the pipe, which must be dropped at the end of the layer. When writing gives a
    /// broken pipe, [`Pending::finish`] tells why.
    pub(crate) fn unpack(&self, job: UnpackJob) -> Result<(PipeWriter, Pending)> {
        let (reader, writer) = pipe()?;
        let UnpackJob { expected, limits, source } = job;
        let pending = self.request(&Request::Unpack { expected, limits, source }, Some(reader.into()))?;
        Ok((writer, pending))
    }

    /// Rebuilds the tar of a layer, bit for bit.
    pub(crate) fn pack(&self, diff_id: &DiffId) -> Result<Packing> {
        let (reader, writer) = pipe()?;
        let pending = self.request(&Request::Pack { diff_id: *diff_id }, Some(writer.into()))?;
        Ok(Packing { reader, pending })
    }

    /// Makes a layer of what a container has changed, without a compressed form yet. The changes are read now, or while
    /// this waits in [`Pending::finish`].
    pub(crate) fn diff(&self, job: DiffJob) -> Result<Pending> {
        self.request(&Request::Diff(job), None)
    }

    fn request(&self, request: &Request, descriptor: Option<OwnedFd>) -> Result<Pending> {
        let (job, theirs) = wire::pair()?;
        let mut descriptors = vec![theirs.as_fd()];
        descriptors.extend(descriptor.as_ref().map(AsFd::as_fd));
        if let Some(control) = &self.0.control {
            let control = control.lock().unwrap_or_else(PoisonError::into_inner);
            wire::send(&*control, request, &descriptors)?;
        }
        Ok(Pending { job, _worker: Arc::clone(&self.0) })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The worker ends when its control socket does.
        self.control = None;
        if let Some(child) = self.child.take() {
            // Its jobs are done, so there is nothing that its end could tell.
            let _ = child.wait();
        }
    }
}

impl Pending {
    /// Waits until the layer is unpacked, and keeps it if `commit`: only then is it in the store.
    pub(crate) fn finish(self, commit: bool) -> Result<LayerMeta> {
        let meta = self.unpacked()?;
        wire::send(&self.job, if commit { &Verdict::Keep } else { &Verdict::Drop }, &[])?;
        self.answer()?;
        Ok(meta)
    }

    /// What is being kept or dropped, as soon as all of it has been read; [`Pending::finish`] is still to be called.
    fn unpacked(&self) -> Result<LayerMeta> {
        match self.answer()? {
            Answer::Layer(meta) => Ok(meta),
            Answer::Done => Err(Error::new("the unpacking process gave a wrong answer")),
        }
    }

    fn done(self) -> Result<()> {
        self.answer().map(drop)
    }

    fn answer(&self) -> Result<Answer> {
        match wire::receive::<Outcome>(&self.job)? {
            Some((outcome, _)) => outcome.map_err(Error::from),
            None => Err(Error::new("the unpacking process ended unexpectedly")
                .hint("it may have been killed for using too much memory; see dmesg")),
        }
    }
}

impl Packing {
    /// After the pipe has ended: whether all of the layer came.
    pub(crate) fn finish(self) -> Result<()> {
        drop(self.reader);
        self.pending.done()
    }
}

fn pipe() -> Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = std::io::pipe().context(|| "cannot make a pipe")?;
    // Refused when the user has many large pipes already; it works with a small one.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_SIZE);
    Ok((reader, writer))
}

#[cfg(test)]
impl UnpackWorker {
    /// As if somebody had sent it SIGKILL.
    pub(super) fn kill(&self) {
        if let Some(child) = &self.0.child {
            rustix::process::pidfd_send_signal(&child.pidfd, rustix::process::Signal::KILL).expect("kills");
        }
    }
}
