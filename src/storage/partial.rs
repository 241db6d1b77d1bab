//! `staging/<digest>.partial`: the compressed bytes of a layer whose transfer was cut off. The next one begins with them
//! instead of asking the registry again.
//!
//! Whoever holds the layer's lock owns the file. It is worth nothing by itself: what it begins with is hashed and unpacked
//! like what comes from the registry, so that a file that a power cut has damaged ends as a wrong digest.

use std::fs::File;
use std::path::PathBuf;
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
        if size < WORTH_KEEPING {
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

    /// Those that have not changed for so long.
    fn remove_partials(&self, age: Duration) -> Result<u64> {
        let mut freed = 0;
        let dir = self.staging_dir();
        let failed = || format!("cannot read {}", dir.display());
        for entry in std::fs::read_dir(&dir).context(failed)? {
            let entry = entry.context(failed)?;
            if !entry.file_name().to_string_lossy().ends_with(SUFFIX) {
                continue;
            }
            let meta = entry.metadata().context(failed)?;
            let changed = meta.modified().context(failed)?;
            if SystemTime::now().duration_since(changed).is_ok_and(|since| since >= age) {
                std::fs::remove_file(entry.path()).context(|| format!("cannot remove {}", entry.path().display()))?;
                freed += meta.len();
            }
        }
        Ok(freed)
    }
}

impl Partial {
    /// The layer is there, or is not what it should be.
    pub(crate) fn remove(self) {
        // What cannot be removed is found again when the layer is fetched again.
        let _ = std::fs::remove_file(&self.path);
    }
}
