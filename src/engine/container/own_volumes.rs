//! Volumes without a name belong to a container and go with it. While nothing but its record says which they are, and
//! that is not there yet, or is forgotten by a reboot, or is removed before them, a note beside its files says it too.

use std::path::PathBuf;

use super::store::{self, Container};
use super::volumes;
use crate::engine::events;
use crate::error::{Error, Kind, Result};
use crate::monitor::place::Place;
use crate::state::file::{self, Durability};
use crate::state::paths::Dirs;
use crate::userns::IdMaps;

/// Notes which volumes go with the files in `place`.
pub(super) fn note(place: &Place, volumes: &[String]) -> Result<()> {
    if volumes.is_empty() { Ok(()) } else { file::write_json(&note_of(place), &volumes, Durability::Volatile) }
}

/// From here on the container's record says it.
pub(super) fn forget_note(place: &Place) -> Result<()> {
    let path = note_of(place);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::wrap(format!("cannot remove {}", path.display()), e))
        }
        _ => Ok(()),
    }
}

/// Removes the volumes of a container without a record.
pub(super) fn remove_noted(dirs: &Dirs, place: &Place) -> Result<()> {
    // One that cannot be read says nothing: what it named stays until `volume prune`.
    let noted: Vec<String> = file::read_json(&note_of(place)).ok().flatten().unwrap_or_default();
    let directory = dirs.data.join("volumes");
    let unnamed =
        |name: &String| volumes::load(&directory, name).is_ok_and(|meta| meta.is_none_or(|meta| meta.anonymous));
    remove(dirs, &noted.into_iter().filter(unnamed).collect::<Vec<_>>())
}

/// Removes the volumes that were made for the container alone.
pub(super) fn remove_of(dirs: &Dirs, container: &Container) -> Result<()> {
    remove(dirs, &container.record.volumes)
}

fn remove(dirs: &Dirs, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let (directory, maps) = (dirs.data.join("volumes"), IdMaps::for_user()?);
    // Others may have them by --volumes-from, and remove them then.
    let borrowed = names.iter().any(|name| volumes::is_borrowed(&directory, name));
    let others = if borrowed { store::readable_ones(dirs)? } else { Vec::new() };
    let taken = |name: &String| others.iter().any(|other| other.record.volumes.contains(name));
    names.iter().filter(|name| !taken(name)).try_for_each(|name| match volumes::remove(&directory, name, &maps) {
        Err(e) if e.kind() == Kind::NoSuchObject => Ok(()),
        result => result.inspect(|()| events::volume(dirs, "remove", name)),
    })
}

fn note_of(place: &Place) -> PathBuf {
    place.disk.join("volumes.json")
}
