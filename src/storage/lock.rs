//! Locks on files that come and go: the one that was waited for may have been removed meanwhile.

use std::path::Path;

use rustix::fs::fstat;

use crate::error::{Context, Error, Result};
use crate::state::lock::{self, Mode};

/// An exclusive lock on a file that [`Lock::remove`] may take away.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: lock::Lock,
}

impl Lock {
    /// Waits until nobody else holds the lock at `path`.
    pub(crate) fn acquire(path: &Path) -> Result<Self> {
        loop {
            let lock = lock::Lock::acquire(path, Mode::Exclusive)?;
            if in_place(&lock, path)? {
                return Ok(Self { _held: lock });
            }
        }
    }

    /// `None` when somebody holds it, or when it went away just now.
    pub(super) fn try_acquire(path: &Path) -> Result<Option<Self>> {
        match lock::Lock::try_acquire(path, Mode::Exclusive)? {
            Some(lock) if in_place(&lock, path)? => Ok(Some(Self { _held: lock })),
            _ => Ok(None),
        }
    }

    /// Removes the file, if nobody else has done so, then lets go.
    pub(super) fn remove(self, path: &Path) -> Result<()> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::wrap(format!("cannot remove {}", path.display()), e))
            }
            _ => Ok(()),
        }
    }
}

fn in_place(lock: &lock::Lock, path: &Path) -> Result<bool> {
    fstat(lock.file()).map(|stat| stat.st_nlink > 0).context(|| format!("cannot examine {}", path.display()))
}
