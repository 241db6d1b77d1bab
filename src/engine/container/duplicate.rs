//! `container clone`: another container from what one was made of. Its files are the image's again, its changes stay behind.
//!
//! A container's configuration names itself in paths and names by its id, which occurs nowhere else: the new one's takes
//! its place. Volumes without a name are new ones.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::create::Reserved;
use super::ids;
use super::make::{self, Made};
use super::record::{CONFIG, Config, Record, Root};
use super::resolve::MountKind;
use super::store::{self, Container};
use super::volumes::{self, VolumeUse};
use super::{elsewhere, image_mounts, own_volumes, requires, update};
use crate::engine::events;
use crate::engine::images::Image;
use crate::error::{Context, Error, Kind, Result};
use crate::spec::settings::{Identity, Resources};
use crate::state::id;
use crate::state::lock::Mode;
use crate::state::paths::{Dirs, create_private};
use crate::storage::Store;
use crate::userns::{IdMaps, enter, owner};

/// What is to be different.
pub(crate) struct Wanted<'a> {
    pub name: Option<&'a str>,
    pub image: Option<&'a Image>,
    pub resources: &'a Resources,
}

/// Makes another container like `original`.
pub(crate) fn duplicate(dirs: &Dirs, store: &Store, original: &Container, wanted: &Wanted<'_>) -> Result<Made> {
    let old = &original.record;
    if old.auto_ids.is_some() {
        return Err(Error::new(format!(
            "container {} cannot be cloned: its ids were chosen for it alone (--userns auto)",
            old.name
        ))
        .hint("create another one with the same command"));
    }
    let path = original.place.record.join(CONFIG);
    let mut text = std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
    let _layers = store.gc_lock(Mode::Shared)?;
    let name = wanted.name.map_or_else(|| free_name(dirs, &old.name), |name| Ok(name.to_owned()))?;
    let reserved = Reserved::new(dirs, Some(&name), original.place.is_fleeting())?;
    text = text.replace(&old.id, &reserved.id);
    let anonymous = old.volumes.iter().map(|_| id::random()).collect::<Result<Vec<_>>>()?;
    for (known, new) in old.volumes.iter().zip(&anonymous) {
        text = text.replace(known, new);
    }
    let mut config = Config::parse(text.as_bytes()).context(|| format!("cannot use {}", path.display()))?;
    rename_host(&mut config, id::short(&old.id), id::short(&reserved.id));
    (config.asked.pidfile, config.asked.conmon_pidfile, config.log.path) = (String::new(), String::new(), None);
    update::limit(&mut config, wanted.resources)?;
    let mut record = Record {
        id: reserved.id.clone(),
        name,
        created: Timestamp::now(),
        volumes: anonymous,
        cidfile: None,
        // Two containers cannot listen on one port; so does Podman.
        ports: Vec::new(),
        ..old.clone()
    };
    let mut warnings = Vec::new();
    if !old.ports.is_empty() {
        warnings.push(format!("the ports that {} publishes are not published by {}", old.name, record.name));
    }
    if let Some(image) = wanted.image {
        record.image = image.name.clone().unwrap_or_else(|| image.id.hex());
        record.image_id = image.id.hex();
        record.layers.clone_from(&image.layers);
        (config.root, config.image_digest) = (Root::Image, image.manifest.to_string());
    }
    let whole = IdMaps::for_user()?;
    let ids = ids::same(config.maps.clone(), &whole, config.root == Root::Image);
    config.rootfs = match &config.root {
        Root::Image => store.prepare_rootfs(&record.layers, &reserved.place.disk, &ids.shift)?,
        Root::Directory(path) => crate::storage::RootfsPlan::Directory { path: path.clone() },
        Root::Overlay(path) => make::above(path, &reserved.place.disk)?,
    };
    image_mounts::repeat(store, &config, &ids.shift)?;
    if let Some(root) = config.spec.root_mut() {
        root.set_path(config.rootfs.place().to_path_buf());
    }
    copy_files(&original.place.record, &reserved.place.record, &whole)?;
    let user = config.spec.process().as_ref().map(|process| process.user());
    let identity = Identity {
        uid: user.map_or(0, oci_spec::runtime::User::uid),
        gid: user.map_or(0, oci_spec::runtime::User::gid),
        groups: Vec::new(),
    };
    let uses = volume_uses(&config, &record.volumes);
    let data = dirs.data.join("volumes");
    own_volumes::note(&reserved.place, &record.volumes)?;
    let made = volumes::prepare(&data, &uses, &config.rootfs.directories(), &ids.outside(&identity), &whole)?;
    made.iter().for_each(|name| events::volume(dirs, "create", name));
    elsewhere::mark(dirs, &record, &config)?;
    let (container, lock) = reserved.commit(record, &config)?;
    requires::note(dirs, &container.record, &config.spec)?;
    Ok(Made { container, config, lock, warnings })
}

/// `NAME-clone`, `NAME-clone1`, `NAME-clone2` …: the first that nobody has, as Podman names them.
fn free_name(dirs: &Dirs, original: &str) -> Result<String> {
    let base = match original.find("-clone") {
        Some(at) => &original[..at],
        None => original,
    };
    for number in 0..=u32::MAX {
        let number = if number == 0 { String::new() } else { number.to_string() };
        let name = format!("{base}-clone{number}");
        match store::find(dirs, &name) {
            Err(e) if e.kind() == Kind::NoSuchObject => return Ok(name),
            Err(e) => return Err(e),
            Ok(_) => {}
        }
    }
    Err(Error::new(format!("container {original} has been cloned too often")))
}

/// A container without a host name of its own is named after its id.
fn rename_host(config: &mut Config, old: &str, new: &str) {
    if config.names.hostname == old {
        new.clone_into(&mut config.names.hostname);
    }
    if config.spec.hostname().as_deref() == Some(old) {
        config.spec.set_hostname(Some(new.to_owned()));
    }
    let (known, wanted) = (format!("HOSTNAME={old}"), format!("HOSTNAME={new}"));
    if let Some(process) = config.spec.process_mut() {
        let swap = |variable: &String| if *variable == known { wanted.clone() } else { variable.clone() };
        process.set_env(process.env().as_ref().map(|env| env.iter().map(swap).collect()));
    }
}

/// The accounts and secrets that are bound into the container. The secrets may belong to ids of the user's.
fn copy_files(from: &Path, to: &Path, whole: &IdMaps) -> Result<()> {
    create_private(to)?;
    for name in ["passwd", "group"] {
        match std::fs::copy(from.join(name), to.join(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).context(|| format!("cannot copy {}", from.join(name).display()));
            }
            _ => {}
        }
    }
    let (from, to) = (from.join("secrets"), to.join("secrets"));
    if !from.exists() {
        return Ok(());
    }
    create_private(&to)?;
    let copy = |source: PathBuf| -> std::io::Result<()> {
        let target = to.join(source.file_name().unwrap_or_default());
        let meta = source.metadata()?;
        std::fs::write(&target, std::fs::read(&source)?)?;
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(meta.mode() & 0o7777))?;
        owner::give(&target, meta.uid(), meta.gid())
    };
    enter::run(whole, || {
        let entries = std::fs::read_dir(&from).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
        let copied = entries.and_then(|entries| entries.into_iter().try_for_each(|entry| copy(entry.path())));
        copied.context(|| format!("cannot copy the secrets in {}", from.display()))
    })
}

/// The volumes of `names`, where they are mounted.
fn volume_uses(config: &Config, names: &[String]) -> Vec<VolumeUse> {
    let volumes = config.mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
    let own = volumes.filter_map(|mount| Some((mount, mount.name.clone().filter(|name| names.contains(name))?)));
    own.map(|(mount, name)| VolumeUse {
        name,
        anonymous: true,
        destination: mount.destination.clone(),
        copy: !mount.options.iter().any(|option| option == "nocopy"),
    })
    .collect()
}
