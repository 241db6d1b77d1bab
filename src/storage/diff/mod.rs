//! What a container has changed: as a list (`diff`), and as a layer of the store (`commit`, the build engine).
//!
//! ```text
//! upper     an upper directory of overlayfs or fuse-overlayfs: only what it holds is looked at
//! compare   two trees side by side: for the copy driver, for two containers, and against nothing for a whole root
//!   └─▶ report    which entries to tell, in which order ─▶ list    kinds and paths
//!                                                       └▶ archive ─▶ stream  a tar
//!                                                                    └▶ take   the upper directory becomes the layer
//! merged    a directory as its layers show it
//! remembered  owners and devices that layers have and files cannot
//! header    a tar header; holes  what a file with holes has between them
//! ```
//! Entries come sorted by name, a directory before what is in it, so the same files always give the same tar.
//! Everything here needs the rights of root of the user's id map: [`changes`] and [`export`] are to be called in a
//! process inside the user namespace, layers are made by the worker ([`super::worker::UnpackWorker::diff`]).

mod archive;
mod compare;
mod header;
mod holes;
mod ids;
mod list;
mod merged;
mod remembered;
mod report;
mod stream;
mod subtree;
mod take;
mod upper;

use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use self::archive::Archive;
pub(super) use self::archive::{attribute_names, of_this_host};
pub(crate) use self::ids::Ids;
pub(crate) use self::list::{Change, ChangeKind};
use self::merged::Merged;
use self::remembered::Remembered;
use self::report::Report;
pub(crate) use self::subtree::send;
pub(super) use self::take::take;
use self::upper::Marks;
use super::RootfsPlan;
use crate::error::Result;

/// A layer to be made of a container's changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DiffJob {
    /// The root file system that was changed, as [`super::Store::prepare_rootfs`] planned it.
    pub rootfs: RootfsPlan,
    /// Directories of the layers that the copy driver's root was made of, top first. Of no use with the others, which
    /// have them in their plan.
    pub below: Vec<PathBuf>,
    /// Paths without a leading slash, left out while they are an empty file or directory that the layers below have not:
    /// the places where the runtime mounts something.
    pub skip: Vec<String>,
    /// The upper directory is not needed any more and becomes the layer's, so that no file is copied: its files are read
    /// once, for the digest. It must not be mounted, and is gone afterwards, also when the layer is not kept. Where it
    /// cannot be (another file system, another driver) the files are copied and the directory stays.
    pub take: bool,
    /// Everything that the container sees instead of what it has changed.
    pub whole: bool,
    /// The container's ids.
    pub ids: Ids,
    /// Seconds since the epoch: the time of every entry instead of its own.
    pub timestamp: Option<i64>,
}

/// What has been changed, sorted as `diff` shows it; `skip` as in [`DiffJob`].
pub(crate) fn changes(rootfs: &RootfsPlan, below: &[PathBuf], skip: &[String], ids: &Ids) -> Result<Vec<Change>> {
    let mut list = list::List::default();
    run(rootfs, below, ids, &mut Report::new(&mut list, skip))?;
    Ok(list.finish())
}

/// What makes `new` of `old`: directories of layers, top first, and whose ids they have.
pub(crate) fn between(new: (&[PathBuf], &Ids), old: (&[PathBuf], &Ids)) -> Result<Vec<Change>> {
    let mut list = list::List::default();
    compare::walk(&Merged::open(new.0, new.1)?, &Merged::open(old.0, old.1)?, &mut Report::new(&mut list, &[]))?;
    Ok(list.finish())
}

/// Writes the tar of a whole root file system; `below` as in [`DiffJob`].
pub(crate) fn export(rootfs: &RootfsPlan, below: &[PathBuf], ids: &Ids, output: impl Write) -> Result<()> {
    let remembered = remembered(rootfs, below)?;
    whole(&rootfs.directories(), remembered, ids, output)
}

/// Writes the tar of layers, top first, as one root file system.
pub(crate) fn export_layers(directories: &[PathBuf], output: impl Write) -> Result<()> {
    whole(directories, Remembered::of(directories, None)?, &Ids::default(), output)
}

fn whole(directories: &[PathBuf], remembered: Remembered, ids: &Ids, output: impl Write) -> Result<()> {
    many_descriptors();
    let all = Merged::open(directories, ids)?;
    let mut archive = Archive::new(stream::Stream::new(output), None, ids, remembered);
    compare::walk(&all, &Merged::default(), &mut Report::new(&mut archive, &[]))?;
    archive.devices(&all)?;
    archive.finish().map(drop)
}

/// What the layers of a container remember, without what it has replaced.
fn remembered(rootfs: &RootfsPlan, below: &[PathBuf]) -> Result<Remembered> {
    match rootfs {
        RootfsPlan::Overlay { lower, upper, .. } | RootfsPlan::FuseOverlayfs { lower, upper, .. } => {
            Remembered::of(lower, Some(upper))
        }
        RootfsPlan::Directory { .. } => Remembered::of(below, None),
    }
}

/// Writes the tar of what makes `new` of `old`: directories of layers, top first. `timestamp` as in [`DiffJob`].
pub(crate) fn archive_between(
    new: &[PathBuf],
    old: &[PathBuf],
    output: impl Write,
    timestamp: Option<i64>,
) -> Result<()> {
    many_descriptors();
    let ids = Ids::default();
    let mut archive = Archive::new(stream::Stream::new(output), timestamp, &ids, Remembered::of(new, None)?);
    compare::walk(&Merged::open(new, &ids)?, &Merged::open(old, &ids)?, &mut Report::for_layer(&mut archive, &[]))?;
    archive.finish().map(drop)
}

/// Writes the tar of a job's changes, without taking anything.
pub(super) fn write(job: &DiffJob, output: impl Write) -> Result<()> {
    let remembered = remembered(&job.rootfs, &job.below)?;
    let mut archive = Archive::new(stream::Stream::new(output), job.timestamp, &job.ids, remembered);
    if job.whole {
        many_descriptors();
        let all = Merged::open(&job.rootfs.directories(), &job.ids)?;
        compare::walk(&all, &Merged::default(), &mut Report::for_layer(&mut archive, &job.skip))?;
        archive.devices(&all)?;
    } else {
        run(&job.rootfs, &job.below, &job.ids, &mut Report::for_layer(&mut archive, &job.skip))?;
    }
    archive.finish().map(drop)
}

fn run(rootfs: &RootfsPlan, below: &[PathBuf], ids: &Ids, report: &mut Report<'_>) -> Result<()> {
    many_descriptors();
    match rootfs {
        RootfsPlan::Overlay { lower, upper, .. } => upper::walk(upper, lower, Marks::Kernel, ids, report),
        RootfsPlan::FuseOverlayfs { lower, upper, .. } => upper::walk(upper, lower, Marks::Files, ids, report),
        RootfsPlan::Directory { path } => {
            let new = Merged::open(std::slice::from_ref(path), ids)?;
            compare::walk(&new, &Merged::open(below, &Ids::default())?, report)
        }
    }
}

/// One per level of a tree, and of every layer below it.
pub(super) fn many_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn open_directory(parent: impl std::os::fd::AsFd, name: &[u8]) -> rustix::io::Result<std::os::fd::OwnedFd> {
    rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())
}

fn open_path(path: &Path) -> Result<std::os::fd::OwnedFd> {
    use crate::error::Context;
    open_directory(rustix::fs::CWD, path.as_os_str().as_encoded_bytes())
        .context(|| format!("cannot open {}", path.display()))
}

/// Sorted, without `.` and `..`.
fn names(directory: impl std::os::fd::AsFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
