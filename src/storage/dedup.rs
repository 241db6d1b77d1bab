//! Files with the same content in different layers share their blocks, where the file system can (btrfs, xfs). Each stays a file
//! of its own: hard links would show in containers, as several names and one inode number, and a later change of one as a
//! change of both until it is copied up.
//!
//! The kernel compares what it is asked to share, so nothing here has to be right for the layers to stay what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Store;
use super::layer::Layer;
use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::state::lock::Mode;
use crate::sys::share;
use crate::userns::{IdMaps, enter};

/// Smaller files lie within a block, or in the inode.
const SMALLEST: u64 = 4096;
/// File systems do so much at a time (btrfs).
const MOST_AT_ONCE: u64 = 16 << 20;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Shared {
    pub files: u64,
    /// What is free now.
    pub bytes: u64,
}

impl Store {
    /// Lets equal files of all layers share their blocks. Reads the files that may be equal. For a single-threaded process.
    ///
    /// # Errors
    /// When the file system cannot.
    pub(crate) fn share_files(&self) -> Result<Shared> {
        let _lock = self.gc_lock(Mode::Shared)?;
        let layers: Vec<PathBuf> =
            self.list_layers()?.iter().filter_map(|id| self.layer(id)).map(|layer: Layer| layer.diff()).collect();
        enter::run(&IdMaps::for_user()?, || {
            let mut by_size = BTreeMap::new();
            layers.iter().for_each(|diff| collect(diff, &mut by_size));
            let mut shared = Shared::default();
            for (size, files) in by_size {
                same_size(size, &files, &mut shared).map_err(|e| match e {
                    Errno::NOTSUP | Errno::NOTTY | Errno::NOSYS => Error::new(format!(
                        "the file system of {} cannot share blocks between files",
                        self.data.display()
                    ))
                    .hint("btrfs and xfs can"),
                    e => Error::wrap("cannot share blocks between files", e),
                })?;
            }
            Ok(shared)
        })
        .context(|| "cannot deduplicate layers")
    }
}

/// Regular files below `dir` by their size, each inode once. What cannot be read is left alone.
fn collect(dir: &Path, by_size: &mut BTreeMap<u64, Vec<PathBuf>>) {
    let mut seen = BTreeSet::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                todo.push(entry.path());
            } else if meta.is_file() && meta.len() >= SMALLEST && seen.insert(meta.ino()) {
                by_size.entry(meta.len()).or_default().push(entry.path());
            }
        }
    }
}

/// Files of one size: those with the same content share the blocks of the first.
fn same_size(size: u64, files: &[PathBuf], shared: &mut Shared) -> Result<(), Errno> {
    if files.len() < 2 {
        return Ok(());
    }
    let mut first_of: BTreeMap<Digest, File> = BTreeMap::new();
    for path in files {
        let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOATIME).bits();
        let Ok(file) = File::options().read(true).custom_flags(flags.cast_signed()).open(path) else { continue };
        let Ok(digest) = digest(&file) else { continue };
        match first_of.get(&digest) {
            None => drop(first_of.insert(digest, file)),
            Some(first) => {
                if one(first, &file, size)? {
                    shared.files += 1;
                    shared.bytes += size;
                }
            }
        }
    }
    Ok(())
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

/// Whether it is news that they share their blocks.
fn one(source: &File, target: &File, size: u64) -> Result<bool, Errno> {
    let blocks = (share::first_block(source)?, share::first_block(target)?);
    if matches!(blocks, (Some(a), Some(b)) if a == b) {
        return Ok(false);
    }
    let mut at = 0;
    while at < size {
        match share::share(source.as_fd(), target.as_fd(), at, (size - at).min(MOST_AT_ONCE)) {
            Ok(Some(done)) if done > 0 => at += done,
            // Changed meanwhile, or a file that this file system cannot do it with.
            Ok(_) | Err(Errno::INVAL | Errno::PERM | Errno::ACCESS | Errno::TXTBSY) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}
