//! The worker's side.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

use super::pipe;
use super::wire::{self, Answer, Outcome, Request, Verdict};
use crate::error::{Context, Error, Result};
use crate::image::digest::DiffId;
use crate::storage::diff::{self, DiffJob};
use crate::storage::layer::LayerMeta;
use crate::storage::limits::Limits;
use crate::storage::staging::Staging;
use crate::storage::unpack::{self, pack};
use crate::storage::{Store, full, unflushed};
use crate::sys::detach::leave_caller;
use crate::sys::file::close_all_but;
use crate::sys::process::{Fork, exit_now, fork};
use crate::userns::IdMaps;
use crate::userns::enter::Failure;

/// Serves requests until the other side is gone; gives the process's exit code.
pub(super) fn run(store: &Store, maps: &IdMaps, control: OwnedFd) -> u8 {
    // A lock or a pipe of the parent that stays open here would be held longer than the parent holds it.
    if close_all_but(&control).is_err() {
        return 1;
    }
    umask(Mode::empty());
    // A directory per level of every layer at work.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let worker = Worker { store, maps, unflushed: AtomicBool::new(false) };
    let ended = std::thread::scope(|scope| {
        loop {
            let Some((request, descriptors)) = wire::receive::<Request>(&control)? else { return Ok::<_, Error>(()) };
            let mut descriptors = descriptors.into_iter();
            let Some(job) = descriptors.next() else { return Err(Error::new("a request without a socket")) };
            let worker = &worker;
            scope.spawn(move || worker.serve(request, job, descriptors.next()));
        }
    });
    if worker.unflushed.into_inner() {
        flush_later(store);
    }
    u8::from(ended.is_err())
}

/// In a process of its own. Without one the marks stay for the next worker.
fn flush_later(store: &Store) {
    if matches!(fork(), Ok(Fork::Child)) {
        leave_caller(c"rpod-flush");
        exit_now(u8::from(store.flush_marked().is_err()));
    }
}

struct Worker<'a> {
    store: &'a Store,
    maps: &'a IdMaps,
    /// Whether a layer was kept that is to be flushed.
    unflushed: AtomicBool,
}

impl Worker<'_> {
    fn serve(&self, request: Request, job: OwnedFd, descriptor: Option<OwnedFd>) {
        let outcome = self.perform(request, &job, descriptor);
        let outcome: Outcome = outcome.map_err(|e| Failure::from(&e));
        // Without a reader nobody wants to know.
        let _ = wire::send(&job, &outcome, &[]);
    }

    fn perform(&self, request: Request, job: &OwnedFd, descriptor: Option<OwnedFd>) -> Result<Answer> {
        let descriptor = || descriptor.ok_or_else(|| Error::new("a request without a pipe"));
        match request {
            Request::Unpack { expected, limits, source } => {
                let (_staging, dir) = self.layer_dir()?;
                let input = File::from(descriptor()?);
                let mut meta = unpack::unpack(input, &dir, self.maps, &limits, expected.as_ref())
                    .context(|| "cannot unpack the layer")
                    .map_err(|e| full::explain(e, &self.store.data, source.as_ref()))?;
                meta.sources.extend(source);
                crate::storage::layer::write_meta(&dir, &meta)?;
                self.keep_or_drop(job, &dir, &meta, true)?;
            }
            Request::Diff(diff) => {
                let (staging, dir) = self.layer_dir()?;
                let meta = self.diff(&diff, &dir).context(|| "cannot make a layer of the changes")?;
                // Who takes a directory as a layer builds, and can do so again.
                self.keep_or_drop(job, &dir, &meta, diff.take)?;
                drop(staging);
            }
            Request::Pack { diff_id } => {
                let layer = self.store.layer(&diff_id);
                let layer = layer.ok_or_else(|| Error::new(format!("the layer {diff_id} is not in the store")))?;
                pack::pack(&layer.directory(), &diff_id, File::from(descriptor()?))
                    .context(|| format!("cannot rebuild the layer {diff_id}"))?;
            }
        }
        Ok(Answer::Done)
    }

    /// An empty directory for a new layer, and what removes it.
    fn layer_dir(&self) -> Result<(Staging, PathBuf)> {
        let staging = Staging::create(&self.store.staging_dir(), &self.store.host)?;
        // A directory of its own: the lock's one is removed with everything that is left in it.
        let dir = staging.path().join("layer");
        // The worker's umask is 0, for the layer's own modes.
        let made = std::fs::DirBuilder::new().mode(0o755).create(&dir);
        made.context(|| format!("cannot create {}", dir.display()))?;
        Ok((staging, dir))
    }

    /// By taking the upper directory if that may be, else through a tar.
    fn diff(&self, job: &DiffJob, dir: &Path) -> Result<LayerMeta> {
        if job.take
            && let Some(meta) = diff::take(job, dir)?
        {
            return Ok(meta);
        }
        let (reader, writer) = pipe()?;
        let unlimited = Limits { bytes: u64::MAX, entries: u64::MAX, ratio: u64::MAX };
        std::thread::scope(|scope| {
            let written = scope.spawn(move || diff::write(job, writer));
            let unpacked = unpack::unpack(reader, dir, self.maps, &unlimited, None);
            match written.join() {
                // Otherwise what the other end has to say is the reason.
                Ok(Err(e)) if unpacked.is_ok() || !broken_pipe(&e) => Err(e),
                Ok(_) => unpacked,
                Err(_) => Err(Error::new("reading the changes failed")),
            }
        })
    }

    /// `later`: it may be lost when the machine goes down now.
    fn keep_or_drop(&self, job: &OwnedFd, dir: &Path, meta: &LayerMeta, later: bool) -> Result<()> {
        if later && self.store.mark_unflushed(&meta.diff_id)? {
            self.unflushed.store(true, Ordering::Relaxed);
        } else {
            unflushed::flush(dir)?;
        }
        wire::send(job, &Outcome::Ok(Answer::Layer(meta.clone())), &[])?;
        match wire::receive::<Verdict>(job)? {
            Some((Verdict::Keep, _)) => self.keep(dir, &meta.diff_id),
            Some((Verdict::Drop, _)) | None => Ok(()),
        }
    }

    fn keep(&self, dir: &Path, diff_id: &DiffId) -> Result<()> {
        let target = self.store.layer_dir(diff_id);
        match std::fs::rename(dir, &target) {
            // The same layer from somewhere else.
            Err(_) if target.join("layer.json").exists() => Ok(()),
            renamed => renamed.context(|| format!("cannot move the layer to {}", target.display())),
        }
    }
}

fn broken_pipe(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
