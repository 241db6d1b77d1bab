//! Where one container's files are, and the lock that tells whether it lives.
//!
//! Whoever changes a container (creator, starter, remover) holds the lock exclusively; the monitor inherits it from the
//! process that started it and holds it until the end. Shared holders only look or wait.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::state::lock::{Lock, Mode};
use crate::state::paths::{self, Dirs};

/// The directories of one container (see `engine::container`).
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// `record.json`, `config.json`, `state.json`, name files.
    pub record: PathBuf,
    /// `upper/`, `work/`, `ctr.log`.
    pub disk: PathBuf,
    /// `monitor.lock`, `attach`.
    pub runtime: PathBuf,
}

impl Place {
    /// The place of container `id`; `fleeting`: its record is in the runtime directory.
    pub(crate) fn new(dirs: &Dirs, id: &str, fleeting: bool) -> Self {
        let disk = dirs.host.join("containers").join(id);
        let runtime = dirs.runtime.join("containers").join(id);
        Self { record: if fleeting { runtime.clone() } else { disk.clone() }, disk, runtime }
    }

    /// Whether the record is in the runtime directory.
    pub(crate) fn is_fleeting(&self) -> bool {
        self.record == self.runtime
    }

    /// This place under another runtime directory.
    pub(super) fn moved(&self, runtime: &Path) -> Self {
        let runtime = runtime.join("containers").join(self.disk.file_name().unwrap_or_default());
        let record = if self.is_fleeting() { runtime.clone() } else { self.record.clone() };
        Self { record, disk: self.disk.clone(), runtime }
    }

    /// What tells of a monitor whatever happens to the runtime directory: a shared lock on the container's directory on
    /// the disk, held as long as the answer is open. Not every file system has that.
    pub(super) fn inhabit(&self) -> Option<OwnedFd> {
        shared_lock(&self.disk)
    }

    /// Keeps systemd-tmpfiles from clearing the runtime directory as one that nobody has used for long (tmpfiles.d(5):
    /// a directory with a lock is left alone).
    pub(super) fn keep(&self) -> Option<OwnedFd> {
        shared_lock(&self.runtime)
    }

    /// Whether a monitor lives, also one whose lock cannot be found: the runtime directory was taken away by a logout
    /// or a cleaner, or is another one for the caller. `monitor` is its process, as far as known.
    pub(crate) fn inhabited(&self, monitor: i32) -> bool {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(dir) = rustix::fs::open(&self.disk, flags, rustix::fs::Mode::empty()) else { return false };
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => false,
            Err(Errno::WOULDBLOCK) => true,
            // A file system without locks on directories.
            Err(_) => is_monitor(monitor),
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.runtime.join("monitor.lock")
    }

    /// The socket that clients attach to.
    pub(crate) fn attach_socket(&self) -> PathBuf {
        self.runtime.join("attach")
    }

    /// Takes the lock to change the container; `None` while another process does or the container runs.
    pub(crate) fn try_lock(&self) -> Result<Option<Lock>> {
        loop {
            // The parent is there from the second container on; a reboot takes both away.
            paths::create_private(&self.runtime)?;
            let path = self.lock_file();
            let Some(lock) = Lock::try_acquire(&path, Mode::Exclusive)? else {
                if self.locked()? {
                    return Ok(None);
                }
                // Only somebody looking, who is gone in a moment.
                std::thread::yield_now();
                continue;
            };
            // A remover may have unlinked the file between our open and our lock.
            if lock.file().metadata().is_ok_and(|m| m.nlink() > 0) {
                return Ok(Some(lock));
            }
        }
    }

    /// Whether a process holds the lock exclusively: the container runs, or is being created, started or removed.
    pub(crate) fn locked(&self) -> Result<bool> {
        let Some(file) = self.open_lock()? else { return Ok(false) };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(e) => Err(Error::wrap(format!("cannot examine the lock {}", self.lock_file().display()), e)),
        }
    }

    /// Waits until nobody holds the lock exclusively.
    ///
    /// The exit code that the monitor left is returned when there is one: with `--rm` it is the only trace.
    pub(crate) fn wait_unlocked(&self) -> Result<Option<u8>> {
        let Some(mut file) = self.open_lock()? else { return Ok(None) };
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockShared) {
                Err(Errno::INTR) => {}
                result => break result.context(|| format!("cannot wait for {}", self.lock_file().display()))?,
            }
        }
        let mut text = String::new();
        file.read_to_string(&mut text).context(|| format!("cannot read {}", self.lock_file().display()))?;
        Ok(text.trim().parse().ok())
    }

    fn open_lock(&self) -> Result<Option<File>> {
        match File::open(self.lock_file()) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::wrap(format!("cannot open the lock {}", self.lock_file().display()), e)),
        }
    }
}

fn shared_lock(dir: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(dir, flags, rustix::fs::Mode::empty()).ok()?;
    rustix::fs::flock(&dir, FlockOperation::NonBlockingLockShared).is_ok().then_some(dir)
}

/// Whether process `pid` is a monitor, by its name.
pub(crate) fn is_monitor(pid: i32) -> bool {
    pid > 0
        && std::fs::read(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.trim_ascii_end() == super::MONITOR.to_bytes())
}

/// The exit code that the last monitor left.
pub(crate) fn left_exit_code(lock: &Lock) -> Option<u8> {
    let mut text = [0; 3];
    let read = lock.file().read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..read)?).ok()?.parse().ok()
}

/// Leaves the exit code in the lock's file for those who wait; `None` at a start forgets the last one.
pub(super) fn leave_exit_code(lock: &Lock, code: Option<u8>) {
    let file = lock.file();
    // The state file is what counts; this is for waiters on a --rm container, and best effort.
    let _ = file.set_len(0);
    if let Some(code) = code {
        let _ = file.write_all_at(code.to_string().as_bytes(), 0);
    }
}
