//! Equal files of different layers take their room once.
//!
//! ```text
//! blocks   btrfs and xfs let files share blocks: each stays a file of its own, and no container can tell
//! links    elsewhere they become names of one file, when asked for: only files with the same owner, mode, time and attributes,
//!          of layers that no image has together and no container uses. A container sees then that a file has several names.
//! ```
//! What is in layers that an image has together is never linked: it would see two of its files as one, with one inode number.

mod blocks;
mod links;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::links::Links;
use super::Store;
use super::collect::Keep;
use super::layer::Layer;
use super::staging::Staging;
use crate::error::{Context, Error, Result};
use crate::image::digest::{DiffId, Digest};
use crate::state::lock::{Lock, Mode};
use crate::userns::{IdMaps, enter};

/// Smaller files lie within a block, or in the inode.
const SMALLEST: u64 = 4096;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Shared {
    pub files: u64,
    /// What is free now.
    pub bytes: u64,
    /// What earlier runs have saved.
    pub before: u64,
}

/// What is done with the files of one size.
type SameSize<'a> = dyn FnMut(u64, &[Found], &mut Shared) -> Result<()> + 'a;

/// A file of a layer.
struct Found {
    path: PathBuf,
    /// Which layer of those that are looked at.
    layer: usize,
}

impl Store {
    /// Lets equal files of all layers share their blocks. Reads the files that may be equal. For a single-threaded process.
    ///
    /// # Errors
    /// When the file system cannot.
    pub(crate) fn share_blocks(&self) -> Result<Shared> {
        let _lock = self.gc_lock(Mode::Shared)?;
        let layers = self.list_layers()?;
        self.share(&layers, &mut |size, files, shared| {
            blocks::same_size(size, files, shared).map_err(|e| match e {
                Errno::NOTSUP | Errno::NOTTY | Errno::NOSYS => Error::new(format!(
                    "the file system of {} cannot share blocks between files",
                    self.data.display()
                ))
                .hint("btrfs and xfs can; elsewhere --hard-links lets layers that no image has together share files"),
                e => Error::wrap("cannot share blocks between files", e),
            })
        })
    }

    /// Makes equal files of layers hard links, but for layers of which one of `images` (layers of each) has both, and those in
    /// `keep`, which is made while nobody can start a container. For a single-threaded process.
    ///
    /// # Errors
    /// While somebody fetches an image or makes a container.
    pub(crate) fn share_links(&self, images: &[Vec<DiffId>], keep: impl FnOnce() -> Result<Keep>) -> Result<Shared> {
        let Some(_lock) = Lock::try_acquire(&self.gc_lock_path(), Mode::Exclusive)? else {
            return Err(Error::new("cannot deduplicate layers while images are fetched or containers are made")
                .hint("try again when that is done"));
        };
        let still = keep()?.layers;
        let layers: Vec<DiffId> = self.list_layers()?.into_iter().filter(|id| !still.contains(id)).collect();
        let number = |id: &DiffId| layers.iter().position(|layer| layer == id);
        let images = images.iter().map(|image| image.iter().filter_map(number).collect::<HashSet<usize>>());
        let images: Vec<_> = images.filter(|image| image.len() > 1).collect();
        let staging = Staging::create(&self.staging_dir(), &self.host)?;
        let links = Links { images: &images, beside: staging.path().join("link") };
        self.share(&layers, &mut |size, files, shared| {
            links.same_size(size, files, shared).context(|| "cannot link equal files")
        })
    }

    fn share(&self, layers: &[DiffId], same_size: &mut SameSize<'_>) -> Result<Shared> {
        let layers: Vec<PathBuf> =
            layers.iter().filter_map(|id| self.layer(id)).map(|layer: Layer| layer.diff()).collect();
        enter::run(&IdMaps::for_user()?, || {
            let mut by_size = BTreeMap::new();
            layers.iter().enumerate().for_each(|(layer, diff)| collect(layer, diff, &mut by_size));
            let mut shared = Shared::default();
            for (size, files) in by_size.into_iter().filter(|(_, files)| files.len() > 1) {
                same_size(size, &files, &mut shared)?;
            }
            Ok(shared)
        })
        .context(|| "cannot deduplicate layers")
    }
}

/// Regular files below `dir` by their size, each inode once. What cannot be read is left alone.
fn collect(layer: usize, dir: &Path, by_size: &mut BTreeMap<u64, Vec<Found>>) {
    let mut seen = BTreeSet::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                todo.push(entry.path());
            } else if meta.is_file() && meta.len() >= SMALLEST && seen.insert(meta.ino()) {
                by_size.entry(meta.len()).or_default().push(Found { path: entry.path(), layer });
            }
        }
    }
}

/// The file, what it is, and the digest of its content. `None` when it cannot be read.
fn read(path: &Path) -> Option<(File, Metadata, Digest)> {
    let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOATIME).bits();
    let file = File::options().read(true).custom_flags(flags.cast_signed()).open(path).ok()?;
    let meta = file.metadata().ok()?;
    let digest = digest(&file).ok()?;
    Some((file, meta, digest))
}

fn digest(mut file: &File) -> std::io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            read => hash.update(&buffer[..read]),
        }
    }
}
