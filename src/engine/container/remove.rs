//! Removing a container: its record first, which ends its existence, then everything else.
//!
//! A monitor that removes its container (`--rm`) tells the exit code between the two: nobody has to wait for the
//! file system.

use std::path::Path;

use super::store::{self, Container};
use super::{elsewhere, own_volumes};
use crate::engine::events;
use crate::error::{Error, Result};
use crate::monitor::place::Place;
use crate::monitor::state::State;
use crate::state::lock::Lock;
use crate::state::paths::Dirs;
use crate::storage::remove_path;
use crate::userns::{IdMaps, enter};

/// Removes a container whose lock the caller holds, with `volumes` also those that were made for it alone.
pub(crate) fn remove_locked(dirs: &Dirs, container: &Container, volumes: bool, lock: &Lock) -> Result<()> {
    let state = State::load(&container.place.record);
    if volumes {
        own_volumes::note(&container.place, &container.record.volumes)?;
    }
    forget(dirs, container, lock, state.finished_at.is_some().then_some(state.exit_code))?;
    if volumes {
        own_volumes::remove_of(dirs, container)?;
    }
    clear(&container.place, lock)
}

/// Removes the record, and with it everything by which others know the container. `code`: of its program, if that ever ran.
pub(super) fn forget(dirs: &Dirs, container: &Container, _held: &Lock, code: Option<u8>) -> Result<()> {
    let owns = |name: &str| store::name_target(dirs, name).as_deref() == Some(container.id());
    let mut name = container.record.name.clone();
    if !owns(&name)
        && let Some(renamed) = super::record::Record::load(&container.place.record)?
    {
        name = renamed.name;
    }
    let record = container.place.record.join(super::record::RECORD);
    match std::fs::remove_file(&record) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::wrap(format!("cannot remove {}", record.display()), e));
        }
        _ => {}
    }
    if owns(&name) {
        // Left behind it would be replaced by the next owner of the name.
        let _ = std::fs::remove_file(store::name_link(dirs, &name));
    }
    if let Some(cidfile) = &container.record.cidfile {
        let _ = std::fs::remove_file(cidfile);
    }
    elsewhere::unmark(dirs, container.id());
    events::removal(dirs, &container.record, code);
    Ok(())
}

/// Removes the directories of a container without a record. The lock's file goes last.
pub(super) fn clear(place: &Place, _held: &Lock) -> Result<()> {
    remove_tree(&place.disk)?;
    remove_tree(&place.runtime)
}

/// Removes a tree that may hold files of other ids of the user's: those need the rights of the namespace's root.
pub(super) fn remove_tree(path: &Path) -> Result<()> {
    match remove_path(path) {
        Err(_) if path.exists() => enter::run(&IdMaps::for_user()?, || remove_path(path)),
        result => result,
    }
}
