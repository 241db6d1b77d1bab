//! One advisory lock per object, held by an open file: it ends with its process, however that dies.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Context, Error, Result};

/// A held `flock(2)`; dropped, it is released.
#[derive(Debug)]
pub(crate) struct Lock(File);

/// How a lock is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

impl Lock {
    /// Waits for the lock on `path`, making the file when it is not there.
    pub(crate) fn acquire(path: &Path, mode: Mode) -> Result<Self> {
        let file = open(path)?;
        let operation = if mode == Mode::Shared { FlockOperation::LockShared } else { FlockOperation::LockExclusive };
        loop {
            match flock(&file, operation) {
                Err(rustix::io::Errno::INTR) => {}
                result => return result.map(|()| Self(file)).context(|| format!("cannot lock {}", path.display())),
            }
        }
    }

    /// `None` when somebody else holds it.
    pub(crate) fn try_acquire(path: &Path, mode: Mode) -> Result<Option<Self>> {
        let file = open(path)?;
        let operation = if mode == Mode::Shared {
            FlockOperation::NonBlockingLockShared
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        match flock(&file, operation) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(Error::wrap(format!("cannot lock {}", path.display()), e)),
        }
    }

    /// The open file, for a child that is to hold the lock as long as it lives.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .context(|| format!("cannot open the lock {}", path.display()))
}
