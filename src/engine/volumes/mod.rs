//! Volumes as users know them. What is on the disk is said in [`super::container::volumes`].

mod filter;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub(crate) use self::filter::Filters;
use super::container::lifecycle::{self, Removal};
use super::container::options::mounts::tmpfs_options;
use super::container::resolve::MountKind;
use super::container::store as containers;
use super::container::volumes::{self, Volume};
use super::container::{damaged, elsewhere};
use super::events;
use crate::error::{Context, Error, Kind, Result};
use crate::state::paths::Dirs;
use crate::state::{id, names};
use crate::storage::diff;
use crate::storage::extract::{ExtractOptions, Owner, extract};
use crate::userns::{IdMaps, enter};

/// What to create.
#[derive(Debug, Default)]
pub(crate) struct CreateOptions {
    pub name: Option<String>,
    pub driver: String,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
    pub ignore: bool,
}

pub(crate) fn directory(dirs: &Dirs) -> PathBuf {
    dirs.data.join("volumes")
}

/// Where the volume's files are.
pub(crate) fn mountpoint(dirs: &Dirs, volume: &Volume) -> PathBuf {
    volumes::data_dir(&directory(dirs), &volume.name)
}

/// Whom the volume's directory belongs to, as containers see it; `None` where it is root, somebody unknown, or a device.
pub(crate) fn owner(dirs: &Dirs, volume: &Volume) -> Result<Option<(u32, u32)>> {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match std::fs::metadata(mountpoint(dirs, volume)).map(|meta| (meta.uid(), meta.gid())) {
        Ok((uid, gid)) if volume.backing().is_none() && (uid, gid) != own => {
            let (uid, gid) = IdMaps::for_user()?.inside(uid, gid);
            Ok(uid.zip(gid))
        }
        _ => Ok(None),
    }
}

/// Creates a volume; answers its name.
pub(crate) fn create(dirs: &Dirs, options: CreateOptions) -> Result<String> {
    if options.driver != "local" {
        return Err(Error::new(format!("volume driver {:?} is not there: local is the only one", options.driver)));
    }
    check_options(&options.options)?;
    let wanted = options.name.filter(|name| !name.is_empty());
    let anonymous = wanted.is_none();
    let name = wanted.map_or_else(id::random, Ok)?;
    names::check(&name)?;
    let volume = Volume {
        name: name.clone(),
        created: Timestamp::now(),
        anonymous,
        filled: options.options.contains_key("nocopy"),
        labels: options.labels,
        options: options.options,
    };
    if volumes::create(&directory(dirs), &volume, IdMaps::for_user)? {
        events::volume(dirs, "create", &name);
    } else if !options.ignore {
        return Err(Error::new(format!("volume with name {name} already exists: volume already exists")));
    }
    Ok(name)
}

/// What `o` may say of a directory of the host.
const BIND_WORDS: [&str; 7] = ["bind", "rbind", "ro", "rw", "noexec", "nosuid", "nodev"];
/// What `o` may say of the volume's own directory, each with a number.
const OWNER_WORDS: [&str; 2] = ["uid", "gid"];

/// What `--opt` may say, and what can be done without root.
fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    let kind = options.get("type").map(String::as_str);
    for (key, value) in options {
        match (key.as_str(), value.as_str()) {
            ("type", "tmpfs" | "none" | "bind") | ("copy" | "nocopy", "") => {}
            ("type", other) => {
                return Err(Error::new(format!("a volume of type {other:?} cannot be mounted without root"))
                    .hint("tmpfs, and bind or none with a device, can"));
            }
            ("device", "") => return Err(Error::new("the option device has no value")),
            ("device" | "o", _) => {}
            _ => return Err(Error::new(format!("invalid option {key:?} for the local driver"))),
        }
    }
    let binds = options.get("o").is_some_and(|o| o.split(',').any(|word| matches!(word, "bind" | "rbind")));
    let words = options.get("o").map(String::as_str).unwrap_or_default().split(',').filter(|word| !word.is_empty());
    match (kind, options.get("device")) {
        (Some("tmpfs"), _) => return tmpfs_options(words.map(str::to_owned).collect()).map(drop),
        (Some("none" | "bind"), None) => return Err(Error::new("a bind needs the option device")),
        (None, Some(_)) if !binds => return Err(Error::new("the option device needs type=bind, or o=bind")),
        (_, Some(device)) => {
            std::fs::metadata(device)
                .context(|| format!("invalid volume option device for driver 'local': {device}"))?;
            if let Some(word) = words.into_iter().find(|word| !BIND_WORDS.contains(word)) {
                return Err(Error::new(format!("a bind cannot be mounted with the option {word:?}")));
            }
        }
        (_, None) => words.into_iter().try_for_each(owner_word)?,
    }
    Ok(())
}

/// Checks a word of `o` for a volume that is a directory of its own.
fn owner_word(word: &str) -> Result<()> {
    match word.split_once('=') {
        Some((name, number)) if OWNER_WORDS.contains(&name) => match number.parse::<u32>() {
            Ok(number) if number < u32::MAX => Ok(()),
            _ => Err(Error::new(format!("cannot convert {name} {number:?} to a number"))),
        },
        Some(("size" | "inodes", _)) => Err(Error::new(format!("volume option {word:?}: quotas need root"))
            .hint("type=tmpfs with a size limits a volume in memory")),
        _ => Err(Error::new(format!("the option o={word} needs type=tmpfs, or a device"))),
    }
}

/// The volume of that name, or of the beginning of one.
pub(crate) fn find(dirs: &Dirs, name: &str) -> Result<Volume> {
    if name.is_empty() {
        return Err(Error::new("name or ID cannot be empty"));
    }
    let missing =
        || Error::new(format!("no volume with name {name:?} found: no such volume")).with_kind(Kind::NoSuchObject);
    if names::check(name).is_err() {
        return Err(missing());
    }
    if let Some(volume) = volumes::load(&directory(dirs), name)? {
        return Ok(volume);
    }
    let mut found = list(dirs)?.into_iter().filter(|volume| volume.name.starts_with(name));
    match (found.next(), found.next()) {
        (Some(volume), None) => Ok(volume),
        (Some(_), Some(_)) => Err(Error::new(format!("more than one volume has a name that begins with {name}"))),
        _ => Err(missing()),
    }
}

/// Describes a volume anew that has lost its description. For a single-threaded process.
pub(crate) fn adopt(dirs: &Dirs, name: &str) -> Result<()> {
    volumes::adopt(&directory(dirs), name, &IdMaps::for_user()?)
}

/// Every volume, by name. Half-made ones are left out, and what is none: `system check` tells.
pub(crate) fn list(dirs: &Dirs) -> Result<Vec<Volume>> {
    let directory = directory(dirs);
    let failed = || format!("cannot list {}", directory.display());
    let entries = match std::fs::read_dir(&directory) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(failed)?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let name = entry.context(failed)?.file_name();
        if let Some(name) = name.to_str().filter(|name| names::check(name).is_ok())
            && let Ok(Some(volume)) = volumes::load(&directory, name)
        {
            all.push(volume);
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Which containers have which volumes.
pub(crate) fn users(dirs: &Dirs) -> Result<BTreeMap<String, Vec<String>>> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for container in containers::list(dirs)? {
        // A container without a readable config can be removed only; its own volumes are in its record.
        let mounts = container.config().map(|config| config.mounts).unwrap_or_default();
        let named = mounts.into_iter().filter(|mount| mount.kind == MountKind::Volume).filter_map(|mount| mount.name);
        let mut all: Vec<String> = named.chain(container.record.volumes.iter().cloned()).collect();
        all.sort();
        all.dedup();
        for name in all {
            users.entry(name).or_default().push(container.id().to_owned());
        }
    }
    for used in elsewhere::uses(dirs)? {
        used.volumes.into_iter().for_each(|name| users.entry(name).or_default().push(used.id.clone()));
    }
    Ok(users)
}

/// Removes a volume; with `force` also the containers that use it.
pub(crate) fn remove(dirs: &Dirs, volume: &Volume, force: bool, seconds: Option<i64>) -> Result<()> {
    if let Some(used) = elsewhere::uses(dirs)?.iter().find(|used| used.volumes.contains(&volume.name)) {
        return Err(used.refuse(&format!("volume {}", volume.name)));
    }
    let users = users(dirs)?.remove(&volume.name).unwrap_or_default();
    if !users.is_empty() && !force {
        return Err(Error::new(format!(
            "volume {} is being used by the following container(s): {}: volume is being used",
            volume.name,
            users.join(", ")
        ))
        .with_kind(Kind::Conflict));
    }
    for user in users {
        match containers::find(dirs, &user) {
            Ok(container) => lifecycle::remove(dirs, &container, Removal { force: true, seconds, volumes: false })?,
            Err(e) if e.kind() == Kind::NoSuchObject => {}
            Err(e) => return Err(e),
        }
    }
    match volumes::remove(&directory(dirs), &volume.name, &IdMaps::for_user()?) {
        // An anonymous one went with its container.
        Err(e) if e.kind() == Kind::NoSuchObject && force => return Ok(()),
        removed => removed?,
    }
    events::volume(dirs, "remove", &volume.name);
    Ok(())
}

/// The volumes that `prune` would remove: used by nobody, and, unless `all`, without a name of their own.
///
/// # Errors
/// When a damaged container cannot tell what it has.
pub(crate) fn unused(dirs: &Dirs, all: bool, filters: &Filters) -> Result<Vec<Volume>> {
    damaged::none(dirs)?;
    let users = users(dirs)?;
    let mut unused = list(dirs)?;
    unused.retain(|volume| {
        !users.contains_key(&volume.name) && (all || volume.anonymous) && filters.matches(volume, false)
    });
    Ok(unused)
}

/// Removes unused volumes; answers those that went, and the bytes that they had.
pub(crate) fn prune(dirs: &Dirs, all: bool, filters: &Filters) -> Result<(Vec<String>, u64)> {
    let (mut gone, mut bytes) = (Vec::new(), 0);
    for volume in unused(dirs, all, filters)? {
        let size = size(dirs, &volume)?;
        match remove(dirs, &volume, false, None) {
            Ok(()) => {
                events::volume(dirs, "prune", &volume.name);
                gone.push(volume.name);
                bytes += size;
            }
            // A container has come, or somebody else was faster.
            Err(e) if matches!(e.kind(), Kind::Conflict | Kind::NoSuchObject) => {}
            Err(e) => return Err(e),
        }
    }
    Ok((gone, bytes))
}

/// Bytes that the volume's files take on the disk. For a single-threaded process.
pub(crate) fn size(dirs: &Dirs, volume: &Volume) -> Result<u64> {
    crate::storage::usage::of(&[volumes::data_dir(&directory(dirs), &volume.name)], &IdMaps::for_user()?)
}

/// Writes the volume's content as a tar; answers what went not quite well. For a single-threaded process.
pub(crate) fn export(dirs: &Dirs, volume: &Volume, output: &File) -> Result<Vec<String>> {
    let path = mountpoint(dirs, volume);
    enter::run(&IdMaps::for_user()?, || diff::send(open(&path)?, b"", output, false))
}

/// Puts a tar's content into the volume; answers what could not be made. For a single-threaded process.
pub(crate) fn import(dirs: &Dirs, volume: &Volume, input: &File) -> Result<Vec<String>> {
    let path = mountpoint(dirs, volume);
    let maps = IdMaps::for_user()?;
    let owner = if maps.is_single() { Owner::These(0, 0) } else { Owner::Tar };
    enter::run(&maps, || {
        let base = open(&path)?;
        extract(input, std::os::fd::AsFd::as_fd(&base), ExtractOptions { owner, overwrite: true })
    })
}

fn open(path: &Path) -> Result<std::os::fd::OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("cannot open {}", path.display()))
}
