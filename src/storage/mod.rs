//! Layers, how they are unpacked and rebuilt, and root file systems made of them.
//!
//! ```text
//! data/blobs/sha256/<digest>   manifests, indexes, configs, byte for byte (blobs)
//! data/refs/<host>/<path>:<tag> → a manifest's digest; what nothing here leads to is garbage (refs, collect)
//! data/layers/<diffid>/        diff/ aside/ entries.zst layer.json: immutable once the directory has its name (layer)
//! data/layers/<diffid>/compressed/<digest>  the layer as it came, when that is wanted (compressed)
//! data/summaries.json          what listings show of the documents: a cache (blobs)
//! data/known/<diffid>.json     the compressed forms of a layer that registries have: only hints (known)
//! data/mapped/<key>/           the layers of an image in one, for containers with another id map (mapped)
//! data/unflushed/<diffid>.<id>  a layer that may not be on the disk yet (unflushed)
//! data/staging/<digest>.partial  the beginning of a layer whose transfer was cut off (partial)
//! data/staging/<host>-<id>/    being made or removed by the process that holds <host>-<id>.lock (staging)
//! data of others                 stores that are only read: blobs, refs and layers that this one has not (additional)
//! data/gc.lock                 shared while something is fetched that no ref leads to yet; exclusive to collect
//! ```
//! A store belongs to one user and its files carry the ids of that user's whole map. Layers are therefore written and
//! removed by a process inside the user namespace (`worker`); everything else is done by the user as such.

mod additional;
mod attach;
pub(crate) mod attributes;
mod blobs;
mod build_cache;
mod builtin;
mod collect;
mod compressed;
mod copy;
mod dedup;
pub(crate) mod diff;
mod driver;
pub(crate) mod extract;
mod full;
mod image_mount;
mod known;
mod layer;
mod limits;
mod lock;
mod mapped;
pub(crate) mod mount_points;
mod mounted;
mod partial;
mod refs;
mod remove;
mod rootfs;
#[cfg(test)]
pub(crate) mod scenarios;
mod staging;
mod unflushed;
mod unpack;
pub(crate) mod usage;
mod view;
mod whiteout;
pub(crate) mod worker;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, IFlags, OFlags, ioctl_getflags, ioctl_setflags, openat};

use self::additional::Additional;
pub(crate) use self::build_cache::BuildStep;
pub(crate) use self::collect::{Freed, Keep};
pub(crate) use self::compressed::Compressed;
pub(crate) use self::dedup::Shared;
pub(crate) use self::driver::DriverName;
pub(crate) use self::image_mount::{is_mounted, unmount_layers};
pub(crate) use self::known::KnownForm;
pub(crate) use self::layer::{Layer, Skipped, Source};
pub(crate) use self::limits::Limits;
pub(crate) use self::lock::Lock;
pub(crate) use self::partial::Partial;
pub(crate) use self::refs::DamagedRef;
pub(crate) use self::remove::{at as remove_at, path as remove_path};
pub(crate) use self::rootfs::{IdShift, RootfsPlan};
pub(crate) use self::view::{LayerView, Place};
use crate::error::Result;
use crate::state;
use crate::state::lock::Mode;
use crate::state::paths::{Dirs, create_private};
use crate::sys::process::single_threaded;
use crate::userns::{IdMaps, enter};

/// A user's store. Cheap to clone; holds no lock and no open file.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    data: PathBuf,
    host_dir: PathBuf,
    /// Tells staging directories of several hosts apart.
    host: String,
    wanted: Option<DriverName>,
    additional: Additional,
    keeps_compressed: bool,
}

impl Store {
    /// Opens the store, making it when it is not there. What dead processes left is removed where that can be seen
    /// without cost; the caller should be single-threaded, otherwise it is left for the next one.
    pub(crate) fn open(dirs: &Dirs) -> Result<Self> {
        let host = dirs.host.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let additional = Additional::from_env(&dirs.data)?;
        let (data, host_dir, keeps_compressed) = (dirs.data.clone(), dirs.host.clone(), compressed::from_env()?);
        let store = Self { data, host_dir, host, wanted: None, additional, keeps_compressed };
        // Somebody may have removed one of them by hand.
        for dir in [store.blobs_dir(), store.layers_dir(), store.refs_dir(), store.staging_dir()] {
            if !dir.is_dir() {
                create_private(&dir)?;
                if dir == store.staging_dir() {
                    spread(&dir);
                }
            }
        }
        store.clean()?;
        Ok(store)
    }

    /// Whether there are stores that are only read beside the user's own.
    pub(crate) fn has_additional(&self) -> bool {
        self.additional.any()
    }

    /// Keeps [`Store::try_collect`](collect) away while this process fetches what no ref leads to yet.
    pub(crate) fn gc_lock(&self, mode: Mode) -> Result<state::lock::Lock> {
        state::lock::Lock::acquire(&self.gc_lock_path(), mode)
    }

    fn gc_lock_path(&self) -> PathBuf {
        self.data.join("gc.lock")
    }

    /// Removes what dead processes left in `staging/`, and layers that a power cut destroyed.
    fn clean(&self) -> Result<()> {
        let dead = staging::dead(&self.staging_dir(), &self.host)?;
        let doubtful = self.doubtful()?;
        if dead.is_empty() && doubtful.is_empty() || !single_threaded() {
            return Ok(());
        }
        // The files may belong to ids that only root of the user's namespace may remove.
        enter::run(&IdMaps::for_user()?, || staging::clean(dead).and_then(|()| self.settle(&doubtful)))
    }

    /// Writes a file of the store.
    fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        staging::write(&self.staging_dir(), &self.host, path, content)
    }

    fn staging_dir(&self) -> PathBuf {
        self.data.join("staging")
    }
}

/// Has ext4 place each layer in a block group of its own (chattr(1), attribute T). It puts new files into their
/// directory's group, and looks at every inode there that was removed in the last minutes before it takes a free one:
/// an image pulled after another was removed would take ten times as long.
fn spread(dir: &Path) {
    let set = |dir: OwnedFd| ioctl_setflags(&dir, ioctl_getflags(&dir)? | IFlags::TOPDIR);
    // Other file systems know no such attribute and have no need of it.
    let _ =
        openat(CWD, dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, rustix::fs::Mode::empty()).and_then(set);
}
