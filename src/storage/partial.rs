//! `staging/<digest>.partial`: the compressed bytes of a layer whose transfer was cut off. The next one begins with them
//! instead of asking the registry again.
//!
//! Whoever holds the layer's lock owns the file. It is worth nothing by itself: what it begins with is hashed and unpacked
//! like what comes from the registry, so that a file that a power cut has damaged ends as a wrong digest.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Store;
use crate::error::{Context, Result};
use crate::image::digest::Digest;
use crate::state::lock::{Lock, Mode};

const SUFFIX: &str = ".partial";
/// Smaller layers come again as quickly.
const WORTH_KEEPING: u64 = 4 << 20;
/// What nobody has come back for is removed with other garbage.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// A layer on its way. Stays on disk until [`Partial::remove`].
#[derive(Debug)]
pub(crate) struct Partial {
    /// Open for reading and appending.
    pub file: File,
    path: PathBuf,
}

impl Store {
    /// What is there of the compressed layer `digest`; `None` for one that is not worth it.
    pub(crate) fn partial(&self, digest: &Digest, size: u64) -> Result<Option<Partial>> {
        if size < WORTH_KEEPING && !self.keeps_compressed {
            return Ok(None);
        }
        let path = self.staging_dir().join(format!("{}{SUFFIX}", digest.hex()));
        let file = File::options().read(true).append(true).create(true).open(&path);
        Ok(Some(Partial { file: file.context(|| format!("cannot create {}", path.display()))?, path }))
    }

    /// Removes what nobody has come back for. For the holder of the exclusive collection lock: nothing is being fetched.
    pub(super) fn forget_partials(&self) -> Result<()> {
        self.remove_partials(FORGOTTEN).map(drop)
    }

    /// Removes all, unless something is being fetched; the bytes that are free now.
    pub(crate) fn drop_partials(&self) -> Result<u64> {
        match Lock::try_acquire(&self.gc_lock_path(), Mode::Exclusive)? {
            Some(_lock) => self.remove_partials(Duration::ZERO),
            None => Ok(0),
        }
    }

    /// What transfers that were cut off take, in bytes.
    pub(crate) fn size_of_partials(&self) -> Result<u64> {
        Ok(self.partials()?.iter().map(|(_, meta)| meta.len()).sum())
    }

    /// Those that have not changed for so long.
    fn remove_partials(&self, age: Duration) -> Result<u64> {
        let mut freed = 0;
        for (path, meta) in self.partials()? {
            let failed = || format!("cannot remove {}", path.display());
            let changed = meta.modified().context(failed)?;
            if SystemTime::now().duration_since(changed).is_ok_and(|since| since >= age) {
                std::fs::remove_file(&path).context(failed)?;
                freed += meta.len();
            }
        }
        Ok(freed)
    }

    fn partials(&self) -> Result<Vec<(PathBuf, Metadata)>> {
        let dir = self.staging_dir();
        let failed = || format!("cannot read {}", dir.display());
        let mut partials = Vec::new();
        let entries = match std::fs::read_dir(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(partials),
            entries => entries.context(failed)?,
        };
        for entry in entries {
            let entry = entry.context(failed)?;
            // A transfer that ends now takes its file along.
            if entry.file_name().to_string_lossy().ends_with(SUFFIX)
                && let Ok(meta) = entry.metadata()
            {
                partials.push((entry.path(), meta));
            }
        }
        Ok(partials)
    }
}

impl Partial {
    /// Nothing is there of it, whatever was.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.file.set_len(0).context(|| format!("cannot write {}", self.path.display()))
    }

    /// All of it is there, and is to stay.
    pub(super) fn move_to(self, path: &Path) -> Result<()> {
        let failed = || format!("cannot write {}", path.display());
        self.file.sync_all().context(failed)?;
        std::fs::rename(&self.path, path).context(failed)
    }

    /// The layer is there, or is not what it should be.
    pub(crate) fn remove(self) {
        // What cannot be removed is found again when the layer is fetched again.
        let _ = std::fs::remove_file(&self.path);
    }
}
