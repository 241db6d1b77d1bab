//! Finding containers: by name, id, prefix of an id, or all of them.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::damaged::{self, Damaged};
use super::elsewhere;
use super::record::{Config, Record};
use super::repair;
use crate::error::{Context, Error, Kind, Result};
use crate::image::digest::Digest;
use crate::monitor::place::Place;
use crate::monitor::state::State;
use crate::state::paths::Dirs;
use crate::storage::Keep;

/// A container that exists.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub record: Record,
    pub place: Place,
}

impl Container {
    /// The container with this full id.
    pub(crate) fn load(dirs: &Dirs, id: &str) -> Result<Option<Self>> {
        // The record of a container with --rm is in the other place; there are fewer of them.
        for rm in [false, true] {
            let place = Place::new(dirs, id, rm);
            if let Some(record) = Record::load(&place.record)? {
                return Ok(Some(Self { record, place }));
            }
        }
        Ok(None)
    }

    /// The state as it is now: what the monitor wrote, corrected when the monitor is no more.
    pub(crate) fn state(&self, dirs: &Dirs) -> Result<State> {
        let state = State::load(&self.place.record);
        if state.status.is_alive() && !self.place.locked()? {
            return repair::settle(dirs, self);
        }
        Ok(state)
    }

    pub(crate) fn config(&self) -> Result<Config> {
        Config::load(&self.place.record)
    }

    /// The record as it is now.
    pub(crate) fn reread(&self) -> Result<Record> {
        Record::load(&self.place.record)?.ok_or_else(|| {
            Error::new(format!("no container with name or ID {:?} found: no such container", self.record.name))
                .with_kind(Kind::NoSuchObject)
        })
    }

    /// Whether it is found by the name in its record.
    pub(crate) fn has_name(&self, dirs: &Dirs) -> bool {
        name_target(dirs, &self.record.name).as_deref() == Some(self.id())
    }

    pub(crate) fn id(&self) -> &str {
        &self.record.id
    }

    /// Bytes of the files that the container has made or changed. Those it hides even from us count as nothing.
    pub(crate) fn written(&self) -> u64 {
        tree_size(&self.place.disk.join("upper"), &mut HashSet::new())
    }

    /// Bytes of the files of the image.
    pub(crate) fn image_size(&self) -> u64 {
        let directories = self.config().map(|config| config.rootfs.directories()).unwrap_or_default();
        directories.iter().skip(1).map(|dir| tree_size(dir, &mut HashSet::new())).sum()
    }
}

/// A file with several names counts once: `linked` are those met, by device and inode.
fn tree_size(dir: &Path, linked: &mut HashSet<(u64, u64)>) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let mut size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => tree_size(&entry.path(), linked),
        Ok(meta) if meta.nlink() > 1 && !linked.insert((meta.dev(), meta.ino())) => 0,
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(&mut size).sum()
}

/// The container called `name_or_id`: a full id, a name, or the beginning of exactly one id.
pub(crate) fn find(dirs: &Dirs, name_or_id: &str) -> Result<Container> {
    if name_or_id.is_empty() {
        return Err(Error::new("name or ID cannot be empty"));
    }
    if let Some(id) = name_target(dirs, name_or_id)
        && let Some(container) = readable(dirs, &id)?
        && container.record.name == name_or_id
    {
        return Ok(container);
    }
    let missing = || {
        Error::new(format!("no container with name or ID {name_or_id:?} found: no such container"))
            .with_kind(Kind::NoSuchObject)
    };
    if !name_or_id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(missing());
    }
    if name_or_id.len() == 64 {
        return readable(dirs, name_or_id)?.ok_or_else(missing);
    }
    let mut found = None;
    for id in ids(dirs)?.iter().filter(|id| id.starts_with(name_or_id)) {
        if let Some(container) = readable(dirs, id)?
            && found.replace(container).is_some()
        {
            return Err(Error::new(format!("more than one result for container ID {name_or_id}"))
                .hint("give more digits of the ID, or the name"));
        }
    }
    found.ok_or_else(missing)
}

/// [`Container::load`] that says what can be done about one that is damaged.
fn readable(dirs: &Dirs, id: &str) -> Result<Option<Container>> {
    Container::load(dirs, id)
        .map_err(|e| Damaged { id: id.to_owned(), why: e.to_string() }.error("cannot use a damaged container"))
}

/// The container that was created last.
pub(crate) fn latest(dirs: &Dirs) -> Result<Container> {
    let newest = list(dirs)?.into_iter().max_by_key(|c| c.record.created);
    newest.ok_or_else(|| Error::new("no such container").with_kind(Kind::NoSuchObject))
}

/// All containers, the oldest first. Clears what killed creators and removers left.
pub(crate) fn list(dirs: &Dirs) -> Result<Vec<Container>> {
    Ok(survey(dirs)?.0)
}

/// [`list`], and those that cannot be read.
pub(crate) fn survey(dirs: &Dirs) -> Result<(Vec<Container>, Vec<Damaged>)> {
    let ids = ids(dirs)?;
    let (mut containers, mut damaged) = (Vec::with_capacity(ids.len()), Vec::new());
    for id in &ids {
        match Container::load(dirs, id) {
            Ok(Some(container)) => containers.push(container),
            Ok(None) => repair::sweep(dirs, id)?,
            Err(e) => damaged.push(Damaged { id: id.clone(), why: e.to_string() }),
        }
    }
    containers.sort_by_key(|c| c.record.created);
    repair::sweep_names(dirs, containers.len() + damaged.len())?;
    Ok((containers, damaged))
}

/// The containers that can be read, as they are: nothing is put right.
pub(super) fn readable_ones(dirs: &Dirs) -> Result<Vec<Container>> {
    Ok(ids(dirs)?.iter().filter_map(|id| Container::load(dirs, id).ok().flatten()).collect())
}

/// What all containers need of the image store.
///
/// # Errors
/// When one of them cannot tell.
pub(crate) fn keep(dirs: &Dirs) -> Result<Keep> {
    damaged::none(dirs)?;
    let mut keep = Keep::default();
    for container in list(dirs)? {
        keep.layers.extend(container.record.layers);
        keep.layers.extend(container.record.mounted_layers);
        keep.blobs.extend(format!("sha256:{}", container.record.image_id).parse::<Digest>());
    }
    for used in elsewhere::uses(dirs)? {
        keep.layers.extend(used.layers);
        keep.blobs.extend(format!("sha256:{}", used.image_id).parse::<Digest>());
    }
    Ok(keep)
}

/// Every id that has a directory, also those that are only half there.
fn ids(dirs: &Dirs) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for base in [&dirs.host, &dirs.runtime] {
        let dir = base.join("containers");
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::wrap(format!("cannot list {}", dir.display()), e)),
        };
        for entry in entries {
            let name = entry.context(|| format!("cannot list {}", dir.display()))?.file_name();
            if let Some(id) = name.to_str().filter(|n| is_id(n)) {
                ids.insert(id.to_owned());
            }
        }
    }
    Ok(ids)
}

/// Whether a directory may be a container's: 64 hexadecimal digits.
pub(crate) fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The symbolic link that stands for a name.
pub(super) fn name_link(dirs: &Dirs, name: &str) -> PathBuf {
    dirs.host.join("names").join(name)
}

/// The id that a name's link says. The name comes from a user: it must not lead out of the directory.
pub(super) fn name_target(dirs: &Dirs, name: &str) -> Option<String> {
    crate::state::names::check(name).ok()?;
    let target: OsString = std::fs::read_link(name_link(dirs, name)).ok()?.into();
    target.into_string().ok().filter(|id| is_id(id))
}
