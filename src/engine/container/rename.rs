//! Giving a container another name, also while it runs.

use super::create::take_name_alone;
use super::record::{RECORD, Record};
use super::repair;
use super::store::{self, Container};
use super::update;
use crate::error::{Error, Kind, Result};
use crate::network::keeper;
use crate::state::file::{self, Durability};
use crate::state::lock::{Lock, Mode};
use crate::state::names;
use crate::state::paths::{Dirs, create_private};

/// Renames the container. The new name is taken before the old one is given up: at no moment has the container none. What a
/// crash in between leaves is a name that no record confirms, which the next one to want it may have.
///
/// # Errors
/// When the name cannot be one or is taken, or the container is removed meanwhile.
pub(crate) fn rename(dirs: &Dirs, container: &Container, name: &str) -> Result<()> {
    names::check(name)?;
    let names = repair::lock_names(dirs)?;
    let mut old = None;
    let stored = change(container, |record| {
        if record.name == name {
            return Ok(false);
        }
        take_name_alone(dirs, name, &record.id, &names)?;
        old = Some(std::mem::replace(&mut record.name, name.to_owned()));
        Ok(true)
    });
    if let Some(old) = old {
        let unused = if stored.is_ok() { old.as_str() } else { name };
        if store::name_target(dirs, unused).as_deref() == Some(container.id()) {
            // Left behind it would be replaced by the next owner of the name.
            let _ = std::fs::remove_file(store::name_link(dirs, unused));
        }
    }
    stored?;
    update::tell(container)?;
    match container.record.networks.is_empty() {
        true => Ok(()),
        false => keeper::rename_container(&dirs.runtime, container.id(), name),
    }
}

/// Changes the record of a container that may run: its monitor, which holds the container's own lock, writes everything but
/// the record. `alter` sees the record as it is now and answers whether there is anything to store.
pub(crate) fn change(container: &Container, alter: impl FnOnce(&mut Record) -> Result<bool>) -> Result<()> {
    let gone = || {
        Error::new(format!("no container with name or ID {:?} found: no such container", container.record.name))
            .with_kind(Kind::NoSuchObject)
    };
    create_private(&container.place.runtime)?;
    let _changes = Lock::acquire(&container.place.runtime.join("changes.lock"), Mode::Exclusive)?;
    let mut record = Record::load(&container.place.record)?.ok_or_else(gone)?;
    if !alter(&mut record)? {
        return Ok(());
    }
    let durability = if record.rm { Durability::Volatile } else { Durability::Synced };
    match file::replace_json(&container.place.record.join(RECORD), &record, durability)? {
        true => Ok(()),
        false => Err(gone()),
    }
}
