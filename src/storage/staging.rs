//! `staging/`: what is being made or removed. Each directory has a lock beside it that its process holds; when that
//! process is dead, however it died, the next one removes both.
//!
//! A file being written is its own lock.
//!
//! The names begin with the host, because the store may be shared and only local locks are to be trusted.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::lock::Lock;
use super::remove;
use crate::error::{Context, Result};
use crate::state::id;

const LOCK: &str = ".lock";
const FILE: &str = ".new";

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
        let (path, lock_path) = (staging.join(&name), staging.join(format!("{name}{LOCK}")));
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

/// Replaces `path`, on the same file system, by `content`: whole or not at all, safe against a power cut, and without a
/// temporary file that stays when this process is killed.
pub(super) fn write(staging: &Path, host: &str, path: &Path, content: &[u8]) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    loop {
        let temporary = staging.join(format!("{host}-{}{FILE}", id::short(&id::random()?)));
        let mut file = File::create_new(&temporary).context(failed)?;
        let written = (|| {
            flock(&file, FlockOperation::LockExclusive)?;
            file.write_all(content)?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)?;
            path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        })();
        match written {
            Err(e)
                if e.kind() == std::io::ErrorKind::NotFound
                    && !temporary.exists()
                    && path.parent().is_some_and(Path::exists) =>
            {
                // Somebody took the file for a dead process's before it was locked.
            }
            Err(e) => {
                // It may not be there, and the first error is the one worth telling.
                let _ = std::fs::remove_file(&temporary);
                return Err(e).context(failed);
            }
            Ok(()) => return Ok(()),
        }
    }
}

/// What dead processes left, locked by this one: directories by their locks, and unfinished files.
pub(super) fn dead(staging: &Path, host: &str) -> Result<Vec<(PathBuf, Lock)>> {
    let failed = || format!("cannot read {}", staging.display());
    let mut dead = Vec::new();
    for entry in std::fs::read_dir(staging).context(failed)? {
        let path = entry.context(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(host)
            && (name.ends_with(LOCK) || name.ends_with(FILE))
            && let Some(lock) = Lock::try_acquire(&path)?
        {
            dead.push((path, lock));
        }
    }
    Ok(dead)
}

/// Removes what [`dead`] found; to be run where such files may be removed.
pub(super) fn clean(dead: Vec<(PathBuf, Lock)>) -> Result<()> {
    for (path, lock) in dead {
        if path.extension().is_some_and(|extension| LOCK.ends_with(&*extension.to_string_lossy())) {
            remove::path(&path.with_extension(""))?;
        }
        lock.remove(&path)?;
    }
    Ok(())
}
