//! `staging/`: what is being made or removed. Each directory has a lock beside it that its process holds; when that
//! process is dead, however it died, the next one removes both.
//!
//! The names begin with the host, because the store may be shared and only local locks are to be trusted.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::lock::Lock;
use super::remove;
use crate::error::{Context, Result};
use crate::state::id;

/// A directory of this process, removed when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    lock_path: PathBuf,
    lock: Option<Lock>,
}

impl Staging {
    /// A new, empty directory.
    pub(super) fn create(staging: &Path, host: &str) -> Result<Self> {
        let name = format!("{host}-{}", id::short(&id::random()?));
        let (path, lock_path) = (staging.join(&name), staging.join(format!("{name}.lock")));
        let lock = Lock::acquire(&lock_path)?;
        let created = std::fs::DirBuilder::new().mode(0o700).create(&path);
        let staging = Self { path, lock_path, lock: Some(lock) };
        created.context(|| format!("cannot create {}", staging.path.display()))?;
        Ok(staging)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is found again by the next process: the lock file stays then.
        if remove::path(&self.path).is_ok()
            && let Some(lock) = self.lock.take()
        {
            let _ = lock.remove(&self.lock_path);
        }
    }
}

/// The directories whose process is dead, locked by this one.
pub(super) fn dead(staging: &Path, host: &str) -> Result<Vec<(PathBuf, Lock)>> {
    let failed = || format!("cannot read {}", staging.display());
    let mut dead = Vec::new();
    for entry in std::fs::read_dir(staging).context(failed)? {
        let lock_path = entry.context(failed)?.path();
        let ours = lock_path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(host));
        if ours
            && lock_path.extension().is_some_and(|extension| extension == "lock")
            && let Some(lock) = Lock::try_acquire(&lock_path)?
        {
            dead.push((lock_path, lock));
        }
    }
    Ok(dead)
}

/// Removes the directories of dead processes; to be run where their files may be removed.
pub(super) fn clean(dead: Vec<(PathBuf, Lock)>) -> Result<()> {
    for (lock_path, lock) in dead {
        remove::path(&lock_path.with_extension(""))?;
        lock.remove(&lock_path)?;
    }
    Ok(())
}
