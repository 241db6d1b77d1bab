//! Volumes: directories that containers share and that outlive them.
//!
//! ```text
//! data/volumes/<name>/_data         what is mounted
//! data/volumes/<name>/volume.json   when and how it was made; written last: without it the volume is half-made
//! data/volumes/<name>/.borrowed     a volume without a name that more than one container has had
//! data/volumes/<name>/.new          being filled from an image; becomes _data in one rename
//! data/volumes/.locks/<name>        held while a volume is made, filled or removed
//! ```
//!
//! The first container that mounts a volume fills it with what its image has there, owners included, so that is done in
//! a user namespace. It goes to a directory of its own first: in `_data` a container that runs already could put a link
//! in the way.

mod copy_up;

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Kind, Result};
use crate::spec::settings::Identity;
use crate::state::file::{self, Durability};
use crate::state::lock::{Lock, Mode};
use crate::state::paths::create_private;
use crate::userns::{IdMaps, enter, owner};

const META: &str = "volume.json";
const NEW: &str = ".new";
const BORROWED: &str = ".borrowed";
const LOCKS: &str = ".locks";

/// A volume that a container mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeUse {
    pub name: String,
    /// Removed together with the container.
    pub anonymous: bool,
    /// Where in the container, and from where a new volume gets its first content.
    pub destination: String,
    pub copy: bool,
}

/// `volume.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub name: String,
    pub created: Timestamp,
    #[serde(default)]
    pub anonymous: bool,
    /// An image's content has been offered to it; it is not done again, even when the volume is empty.
    #[serde(default)]
    pub filled: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Of the local driver: type, device, o.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// What a volume's options put in the place of its own directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backing {
    /// A new tmpfs for each container, with these options.
    Tmpfs(Vec<String>),
    /// A directory of the host, with these options.
    Bind(PathBuf, Vec<String>),
}

impl Volume {
    pub(crate) fn backing(&self) -> Option<Backing> {
        let words = self.options.get("o").map(String::as_str).unwrap_or_default();
        let words: Vec<&str> = words.split(',').filter(|word| !word.is_empty()).collect();
        let others = || words.iter().filter(|w| !matches!(**w, "bind" | "rbind")).map(|w| (*w).to_owned()).collect();
        match (self.options.get("type").map(String::as_str), self.options.get("device")) {
            (Some("tmpfs"), _) => Some(Backing::Tmpfs(others())),
            (_, Some(device)) => Some(Backing::Bind(device.into(), others())),
            _ => None,
        }
    }

    /// The number that `o=NAME=…` gives, as of `uid=` and `gid=`, which a directory of one's own gets for an owner.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        let words = self.options.get("o").into_iter().flat_map(|words| words.split(','));
        words.filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok()).next_back()
    }

    /// The owner that its options give it; what they leave out is root.
    fn owner(&self) -> Option<(u32, u32)> {
        let (uid, gid) = (self.number("uid"), self.number("gid"));
        (uid.is_some() || gid.is_some()).then_some((uid.unwrap_or(0), gid.unwrap_or(0)))
    }
}

/// The directory of a volume that is mounted. `name` has been checked.
pub(crate) fn data_dir(volumes: &Path, name: &str) -> PathBuf {
    volumes.join(name).join("_data")
}

/// Makes the volumes that are not there and fills the new ones; answers the names of those. For a single-threaded process.
///
/// `lower` are the directories of the image's layers (or the root file system itself), top first; `owner` gets a
/// volume for which the image has no directory.
pub(crate) fn prepare(
    volumes: &Path,
    uses: &[VolumeUse],
    lower: &[PathBuf],
    owner: &Identity,
    maps: &IdMaps,
) -> Result<Vec<String>> {
    let (mut made, mut created) = (Vec::new(), Vec::new());
    for wanted in uses {
        let meta = load(volumes, &wanted.name)?;
        if meta.as_ref().is_none_or(|meta| wanted.copy && !meta.filled) {
            made.push(wanted);
        }
    }
    if made.is_empty() {
        return Ok(created);
    }
    // In one order everywhere, so that two containers with the same volumes do not wait for each other.
    made.sort_by(|a, b| a.name.cmp(&b.name));
    made.dedup_by(|a, b| a.name == b.name);
    create_private(&volumes.join(LOCKS))?;
    for wanted in made {
        let what = || format!("cannot make the volume {}", wanted.name);
        // A name that was made up for this container is known to nobody else.
        let _lock = if wanted.anonymous { None } else { Some(lock(volumes, &wanted.name)?) };
        // Another process may have made it while this one waited.
        let meta = load(volumes, &wanted.name)?;
        if meta.as_ref().is_none_or(|meta| wanted.copy && !meta.filled) {
            let new = meta.is_none();
            make(volumes, wanted, meta, lower, owner, maps).context(what)?;
            if new {
                created.push(wanted.name.clone());
            }
        }
    }
    Ok(created)
}

fn make(
    volumes: &Path,
    wanted: &VolumeUse,
    meta: Option<Volume>,
    lower: &[PathBuf],
    owner: &Identity,
    maps: &IdMaps,
) -> Result<()> {
    let dir = volumes.join(&wanted.name);
    let new = dir.join(NEW);
    create_private(&dir)?;
    remove_tree(&new, maps)?;
    std::fs::DirBuilder::new().mode(0o755).create(&new).context(|| format!("cannot create {}", new.display()))?;
    let lower = if wanted.copy { lower } else { &[] };
    // From outside a directory of the image may be unreadable; then it exists.
    let nothing = copy_up::directories(lower, &wanted.destination).is_ok_and(|sources| sources.is_empty());
    let fixed = meta.as_ref().and_then(Volume::owner);
    if !nothing || (owner.uid, owner.gid) != (0, 0) || fixed.is_some() {
        let single = maps.is_single();
        enter::run(maps, || {
            copy_up::fill(&new, lower, &wanted.destination, owner, single)?;
            fixed.map_or(Ok(()), |owner| give(&new, owner))
        })?;
    }
    match std::fs::rename(&new, data_dir(volumes, &wanted.name)) {
        Ok(()) => {}
        // Somebody has put something into it: that stays.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => remove_tree(&new, maps)?,
        Err(e) => return Err(Error::wrap(format!("cannot rename {}", new.display()), e)),
    }
    let meta = Volume {
        filled: wanted.copy,
        ..meta.unwrap_or_else(|| Volume {
            name: wanted.name.clone(),
            created: Timestamp::now(),
            anonymous: wanted.anonymous,
            filled: false,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        })
    };
    file::write_json(&dir.join(META), &meta, if wanted.anonymous { Durability::Volatile } else { Durability::Synced })
}

/// Makes an empty volume; `false` when there is one of that name. For a single-threaded process.
pub(crate) fn create(volumes: &Path, volume: &Volume, maps: impl FnOnce() -> Result<IdMaps>) -> Result<bool> {
    create_private(&volumes.join(LOCKS))?;
    let _lock = lock(volumes, &volume.name)?;
    if load(volumes, &volume.name)?.is_some() {
        return Ok(false);
    }
    let data = data_dir(volumes, &volume.name);
    let dir = volumes.join(&volume.name);
    let made = match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
        Ok(()) => true,
        // Half-made: what may be in it stays.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(e) => return Err(Error::wrap(format!("cannot create {}", dir.display()), e)),
    };
    let outcome = furnish(&dir, &data, volume, maps);
    if outcome.is_err() && made {
        // A full disk, or ids that are not the user's: the first error is the one worth telling.
        let _ = std::fs::remove_dir(&data).and_then(|()| std::fs::remove_dir(&dir));
    }
    outcome.map(|()| true)
}

/// The directory of a new volume, its owner, and last its description.
fn furnish(dir: &Path, data: &Path, volume: &Volume, maps: impl FnOnce() -> Result<IdMaps>) -> Result<()> {
    let failed = || format!("cannot create {}", data.display());
    match std::fs::DirBuilder::new().mode(0o755).create(data) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(Error::wrap(failed(), e)),
        _ => {}
    }
    // Whatever the umask: it belongs to the containers.
    std::fs::set_permissions(data, std::os::unix::fs::PermissionsExt::from_mode(0o755)).context(failed)?;
    if let Some(owner) = volume.owner().filter(|_| volume.backing().is_none()) {
        enter::run(&maps()?, || give(data, owner))?;
    }
    file::write_json(&dir.join(META), volume, Durability::Synced)
}

/// Gives a volume its owner, an id inside the user namespace that this runs in.
fn give(data: &Path, (uid, gid): (u32, u32)) -> Result<()> {
    owner::give(data, uid, gid).map_err(|e| {
        let error = Error::wrap(format!("cannot give {} to {uid}:{gid}", data.display()), e);
        error.hint("only ids of your subordinate ranges in /etc/subuid and /etc/subgid can own files")
    })
}

/// Describes anew a volume that has lost its description; one that never had content goes.
pub(crate) fn adopt(volumes: &Path, name: &str, maps: &IdMaps) -> Result<()> {
    create_private(&volumes.join(LOCKS))?;
    let _lock = lock(volumes, name)?;
    if matches!(load(volumes, name), Ok(Some(_))) {
        return Ok(());
    }
    let dir = volumes.join(name);
    if !data_dir(volumes, name).is_dir() {
        return remove_tree(&dir, maps);
    }
    let volume = Volume {
        name: name.to_owned(),
        created: Timestamp::now(),
        anonymous: false,
        filled: true,
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
    };
    file::write_json(&dir.join(META), &volume, Durability::Synced)
}

/// Notes that another container than the one it was made for gets a volume: neither may remove it while the other is there.
pub(super) fn borrow(volumes: &Path, name: &str) -> Result<()> {
    let path = volumes.join(name).join(BORROWED);
    std::fs::File::create(&path).map(drop).context(|| format!("cannot create {}", path.display()))
}

pub(super) fn is_borrowed(volumes: &Path, name: &str) -> bool {
    volumes.join(name).join(BORROWED).exists()
}

/// A volume that exists. Where a file has the name of one, there is none.
pub(crate) fn load(volumes: &Path, name: &str) -> Result<Option<Volume>> {
    match file::read_json(&volumes.join(name).join(META)) {
        Err(_) if !volumes.join(name).is_dir() => Ok(None),
        read => read,
    }
}

/// Removes a volume with its content. For a single-threaded process.
///
/// # Errors
/// Of kind `NoSuchObject` when there is none.
pub(crate) fn remove(volumes: &Path, name: &str, maps: &IdMaps) -> Result<()> {
    crate::state::names::check(name)?;
    let dir = volumes.join(name);
    let anonymous = load(volumes, name)?.is_some_and(|meta| meta.anonymous);
    create_private(&volumes.join(LOCKS))?;
    let _lock = if anonymous { None } else { Some(lock(volumes, name)?) };
    if !dir.exists() {
        let error = Error::new(format!("no volume with name {name:?} found: no such volume"));
        return Err(error.with_kind(Kind::NoSuchObject));
    }
    // Without its description it is half-made, whatever happens from here on.
    match std::fs::remove_file(dir.join(META)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::wrap(format!("cannot remove the volume {name}"), e));
        }
        _ => {}
    }
    remove_tree(&dir, maps).context(|| format!("cannot remove the volume {name}"))
}

fn lock(volumes: &Path, name: &str) -> Result<Lock> {
    Lock::acquire(&volumes.join(LOCKS).join(name), Mode::Exclusive)
}

/// Directly, or in the user namespace where files belong to subordinate ids.
fn remove_tree(path: &Path, maps: &IdMaps) -> Result<()> {
    let remove = || match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    };
    match remove() {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            enter::run(maps, || remove().context(|| format!("cannot remove {}", path.display())))
        }
        result => result.context(|| format!("cannot remove {}", path.display())),
    }
}
