//! Where a build puts what goes with it: `build/<id>/` of this host's state, and of the runtime directory for secrets.
//!
//! `build/<id>/lock` is held by every process of the build, so that the next one sees which of these belong to builds
//! that were killed, and removes them. `build/lock` is held while a room is made or removed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::state::id;
use crate::state::lock::{Lock, Mode};
use crate::state::paths::{Dirs, create_private};
use crate::storage::remove_path;
use crate::userns::{IdMaps, enter};

/// A program that was killed may write for a moment longer.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// A build's own directories. Dropped, they go.
#[derive(Debug)]
pub(crate) struct Workroom {
    dir: PathBuf,
    private: PathBuf,
    maps: IdMaps,
    _lock: Lock,
}

impl Workroom {
    /// Makes one, and removes those of builds that were killed.
    pub(crate) fn open(dirs: &Dirs, maps: &IdMaps) -> Result<Self> {
        let base = dirs.host.join("build");
        create_private(&base)?;
        let _making = Lock::acquire(&base.join("lock"), Mode::Exclusive)?;
        clean(&base, &dirs.runtime.join("build"), maps)?;
        let id = id::random()?;
        let name = id::short(&id);
        let dir = base.join(name);
        create_private(&dir)?;
        let lock = Lock::acquire(&dir.join("lock"), Mode::Exclusive)?;
        Ok(Self { dir, private: dirs.runtime.join("build").join(name), maps: maps.clone(), _lock: lock })
    }

    /// The path of something new, on the disk where layers are made.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A new directory there.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        create_private(&path)?;
        Ok(path)
    }

    /// For secrets: in memory, where there is a runtime directory, and never beside what becomes a layer.
    pub(crate) fn private(&self, name: &str) -> Result<PathBuf> {
        let path = self.private.join(name);
        create_private(&path)?;
        Ok(path)
    }
}

impl Drop for Workroom {
    fn drop(&mut self) {
        for _ in 0..ATTEMPTS {
            let paths = [self.dir.clone(), self.private.clone()];
            if paths.iter().all(|path| remove_path(path).is_ok()) || remove_inside(&self.maps, &paths).is_ok() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        // What cannot be removed now is the next build's to remove.
    }
}

/// Removes what builds that were killed left. The caller holds the lock.
fn clean(base: &Path, private: &Path, maps: &IdMaps) -> Result<()> {
    let mut dead = Vec::new();
    let names = names(base)?;
    for name in &names {
        let lock = base.join(name).join("lock");
        // A room without a lock was being made, or removed, by somebody who was killed.
        if !lock.exists() || Lock::try_acquire(&lock, Mode::Exclusive)?.is_some() {
            dead.push(base.join(name));
            dead.push(private.join(name));
        }
    }
    let rooms = self::names(private)?;
    dead.extend(rooms.iter().filter(|name| !names.contains(name)).map(|name| private.join(name)));
    if dead.iter().any(|path| remove_path(path).is_err()) {
        // Files of other ids can be removed from inside the user namespace only.
        remove_inside(maps, &dead)?;
    }
    Ok(())
}

fn remove_inside(maps: &IdMaps, paths: &[PathBuf]) -> Result<()> {
    enter::run(maps, || paths.iter().try_for_each(|path| remove_path(path)))
}

/// The directories in a directory.
fn names(dir: &Path) -> Result<Vec<OsString>> {
    let failed = || format!("cannot read {}", dir.display());
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::wrap(failed(), e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.context(failed)?;
        if entry.file_type().context(failed)?.is_dir() {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}
