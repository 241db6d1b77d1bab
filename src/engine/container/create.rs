//! Taking an id and a name, and making the record that turns them into a container.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use super::record::{CONFIG, Config, RECORD, Record};
use super::store::{self, Container};
use super::{elsewhere, own_volumes, remove, repair};
use crate::error::{Context, Error, Kind, Result};
use crate::monitor::place::Place;
use crate::state::file::Durability;
use crate::state::lock::Lock;
use crate::state::paths::{Dirs, create_private};
use crate::state::{id, names};

/// An id and a name that nobody else can take, with their directories. Dropped before [`Reserved::commit`], it takes
/// everything back.
#[derive(Debug)]
pub(crate) struct Reserved<'d> {
    dirs: &'d Dirs,
    pub id: String,
    pub name: String,
    pub place: Place,
    lock: Option<Lock>,
}

impl<'d> Reserved<'d> {
    /// `fleeting`: the container is removed when it ends, and nobody looks for it after the session.
    ///
    /// # Errors
    /// When the name is taken, or cannot be one.
    pub(crate) fn new(dirs: &'d Dirs, name: Option<&str>, fleeting: bool) -> Result<Self> {
        if let Some(name) = name {
            names::check(name)?;
        }
        let id = id::random()?;
        let place = Place::new(dirs, &id, fleeting);
        // The lock first: whoever finds directories without a record asks it whether their maker still lives.
        let lock = place.try_lock()?.ok_or_else(|| Error::new("another process took the container's new ID"))?;
        let mut reserved = Self { dirs, name: String::new(), place, lock: Some(lock), id };
        create_private(&reserved.place.disk)?;
        match name {
            Some(name) => take_name(dirs, name, &reserved.id)?,
            None => {
                reserved.name = invent_name(dirs, &reserved.id)?;
                return Ok(reserved);
            }
        }
        name.unwrap_or_default().clone_into(&mut reserved.name);
        Ok(reserved)
    }

    /// Makes the container exist. Its files are flushed by [`flush`], which a caller in a hurry does later.
    pub(crate) fn commit(mut self, record: Record, config: &Config) -> Result<(Container, Lock)> {
        config.store(&self.place.record, Durability::Volatile)?;
        record.store(&self.place.record, Durability::Volatile)?;
        // A record that a reboot forgets does not replace the note.
        if !record.rm && !record.volumes.is_empty() {
            own_volumes::forget_note(&self.place)?;
        }
        let lock = self.lock.take().ok_or_else(|| Error::new("the container was committed twice"))?;
        Ok((Container { record, place: self.place.clone() }, lock))
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        if store::name_target(self.dirs, &self.name).as_deref() == Some(self.id.as_str()) {
            let _ = std::fs::remove_file(store::name_link(self.dirs, &self.name));
        }
        elsewhere::unmark(self.dirs, &self.id);
        // What cannot be removed now is swept by the next listing.
        let _ = own_volumes::remove_noted(self.dirs, &self.place).and_then(|()| remove::clear(&self.place, &lock));
    }
}

/// Writes a new container's files through to the disk, unless a reboot is meant to forget it.
pub(crate) fn flush(container: &Container) -> Result<()> {
    if container.record.rm {
        return Ok(());
    }
    let dir = container.place.record.as_path();
    let parent = dir.parent().unwrap_or(dir);
    for path in [&dir.join(CONFIG), &dir.join(RECORD), dir, parent] {
        match File::open(path).and_then(|file| file.sync_all()) {
            // Ended and removed meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            result => result.context(|| format!("cannot flush {} to disk", path.display()))?,
        }
    }
    Ok(())
}

/// Makes `name` stand for `id`.
fn take_name(dirs: &Dirs, name: &str, id: &str) -> Result<()> {
    if link_name(dirs, name, id)? {
        return Ok(());
    }
    // Taken, or left by a container that is gone; one process at a time finds out which.
    take_name_alone(dirs, name, id, &repair::lock_names(dirs)?)
}

/// [`take_name`] by the process that holds the lock of all names.
pub(super) fn take_name_alone(dirs: &Dirs, name: &str, id: &str, _held: &Lock) -> Result<()> {
    if link_name(dirs, name, id)? {
        return Ok(());
    }
    match store::name_target(dirs, name) {
        Some(owner) if repair::owns_name(dirs, &owner, name)? => {
            return Err(Error::new(format!("the container name {name:?} is already in use by {owner}"))
                .with_kind(Kind::Conflict)
                .hint("remove that container, or choose another name, or use --replace"));
        }
        _ => {
            let link = store::name_link(dirs, name);
            match std::fs::remove_file(&link) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(Error::wrap(format!("cannot replace {}", link.display()), e));
                }
                _ => {}
            }
        }
    }
    match link_name(dirs, name, id)? {
        true => Ok(()),
        false => Err(Error::new(format!("the container name {name:?} is already in use")).with_kind(Kind::Conflict)),
    }
}

/// `false` when the name is taken.
fn link_name(dirs: &Dirs, name: &str, id: &str) -> Result<bool> {
    let link = store::name_link(dirs, name);
    let make = |link: &Path| std::os::unix::fs::symlink(id, link);
    let made = match make(&link) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            create_private(&dirs.host.join("names"))?;
            make(&link)
        }
        result => result,
    };
    match made {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::wrap(format!("cannot take the name {name:?}"), e)),
    }
}

/// A free name from the digits of the id, which are random already.
fn invent_name(dirs: &Dirs, id: &str) -> Result<String> {
    let seeds = (0..8).filter_map(|i| u32::from_str_radix(id.get(i * 8..i * 8 + 8)?, 16).ok());
    for seed in seeds {
        let name = names::from_seed(seed);
        if link_name(dirs, &name, id)? {
            return Ok(name);
        }
    }
    // Thousands of containers: add digits of the id.
    let name = format!("{}_{}", names::from_seed(0), id::short(id));
    take_name(dirs, &name, id).map(|()| name)
}
