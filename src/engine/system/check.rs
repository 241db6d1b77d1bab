//! `system check`: what a crash, a full disk or a curious hand left broken, and mending it.
//!
//! What is mended is only what can be had again or is of no use: a damaged layer or document goes, so that the next pull
//! fetches it; a name that leads nowhere goes; a volume without its description gets one. Half-made containers and
//! leftovers of dead processes are cleared by every listing and need no mending.

use std::path::PathBuf;
use std::time::Duration;

use crate::engine::container::damaged::{self, Damaged};
use crate::engine::container::lifecycle::{self, Removal};
use crate::engine::container::repair;
use crate::engine::container::store::{self as containers, Container};
use crate::engine::images;
use crate::engine::network::store as networks;
use crate::engine::volumes;
use crate::error::{Context, Kind, Result};
use crate::image::digest::{DiffId, Digest};
use crate::state::paths::Dirs;
use crate::storage::worker::UnpackWorker;
use crate::storage::{Compressed, DamagedRef, Store, attributes, remove_path};
use crate::userns::{IdMaps, enter};

/// What is wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Layers, and why they are damaged.
    pub layers: Vec<(DiffId, String)>,
    /// Layers that nothing has led to for longer than is allowed.
    pub stale: Vec<DiffId>,
    /// Layers as they came.
    pub compressed: Vec<(Compressed, String)>,
    /// Manifests and configs.
    pub blobs: Vec<(Digest, String)>,
    /// Names that lead to nothing readable.
    pub names: Vec<(String, String)>,
    /// Names that cannot be read.
    pub refs: Vec<DamagedRef>,
    /// Ids and names of containers that cannot be started any more, and why.
    pub containers: Vec<(String, String, String)>,
    /// Containers whose record cannot be read.
    pub damaged: Vec<Damaged>,
    /// Containers that cannot be found by their name.
    pub nameless: Vec<Container>,
    /// Directories of volumes without a description that can be read.
    pub volumes: Vec<String>,
    /// Networks whose file cannot be read.
    pub networks: Vec<networks::Damaged>,
    /// No damage: what rpod did not put there.
    pub strays: Vec<PathBuf>,
    /// No damage: named volumes that no container uses.
    pub unused_volumes: Vec<String>,
}

impl Report {
    pub(crate) fn is_clean(&self) -> bool {
        self.layers.is_empty()
            && self.stale.is_empty()
            && self.compressed.is_empty()
            && self.blobs.is_empty()
            && self.names.is_empty()
            && self.refs.is_empty()
            && self.containers.is_empty()
            && self.damaged.is_empty()
            && self.nameless.is_empty()
            && self.volumes.is_empty()
            && self.networks.is_empty()
    }
}

/// Looks at everything; unless `quick`, reads every layer and compares it with its digest, its files' owners and modes with
/// what they should be. Layers that nothing leads to count as damage when they are older than `age`. For a single-threaded
/// process.
pub(crate) fn check(dirs: &Dirs, store: &Store, quick: bool, age: Duration) -> Result<Report> {
    let mut report = Report::default();
    // Both clear what dead processes left.
    let (all, damaged) = containers::survey(dirs)?;
    report.damaged = damaged;
    let maps = IdMaps::for_user()?;
    let ids = store.list_layers()?;
    for id in &ids {
        if let Some(why) = store.layer(id).and_then(|layer| layer.incomplete()) {
            report.layers.push((*id, why));
        }
    }
    if !quick && !ids.is_empty() {
        let worker = UnpackWorker::start(store, &maps)?;
        let mut read_layers = Vec::new();
        for id in ids.iter().filter(|id| !report.layers.iter().any(|(other, _)| other == *id)).collect::<Vec<_>>() {
            let read = worker.pack(id).and_then(|mut packing| {
                let wanted = attributes::wanted(&mut packing.reader, &maps)?;
                packing.finish().map(|()| wanted)
            });
            match read {
                Ok(wanted) => read_layers.push((*id, wanted)),
                Err(e) => report.layers.push((*id, e.to_string())),
            }
        }
        drop(worker);
        for (id, wanted) in read_layers {
            let differs = store.layer(&id).map(|layer| layer.differs(&wanted, &maps)).transpose()?;
            report.layers.extend(differs.flatten().map(|why| (id, why)));
        }
    }
    if !quick {
        let damage = |kept: Compressed| kept.damage().map(|why| (kept, why));
        report.compressed = store.list_compressed()?.into_iter().filter_map(damage).collect();
    }
    for digest in store.list_blobs()? {
        if let Err(e) = store.read_blob(&digest) {
            report.blobs.push((digest, e.to_string()));
        }
    }
    let refs = store.list_own_refs();
    report.refs = refs.damaged;
    for (name, manifest) in refs.named {
        match store.read_blob(&manifest) {
            Err(e) => report.names.push((name, e.to_string())),
            Ok(_) => match images::Image::read(store, manifest) {
                Err(e) if !matches!(images::is_index(store, &manifest), Ok(true)) => {
                    report.names.push((name, e.to_string()));
                }
                _ => {}
            },
        }
    }
    for container in all {
        if let Some(why) = unusable(store, &container) {
            report.containers.push((container.id().to_owned(), container.record.name.clone(), why));
        }
        if !container.has_name(dirs) {
            report.nameless.push(container);
        }
    }
    // A damaged document, name or record may lead to any of them.
    if report.blobs.is_empty() && report.refs.is_empty() && report.damaged.is_empty() {
        let old = |id: &DiffId| {
            let made = store.layer(id).and_then(|layer| layer.directory().metadata().ok()?.modified().ok());
            made.is_some_and(|made| made.elapsed().is_ok_and(|elapsed| elapsed > age))
        };
        report.stale = store.unreferenced(containers::keep(dirs)?)?.into_iter().filter(old).collect();
    }
    report.volumes = half_made(dirs)?;
    report.networks = networks::survey(dirs)?.1;
    report.strays = strays(dirs);
    report.strays.extend(refs.strays);
    let users = volumes::users(dirs)?;
    for volume in volumes::list(dirs)? {
        if !volume.anonymous && !users.contains_key(&volume.name) {
            report.unused_volumes.push(volume.name);
        }
    }
    Ok(report)
}

/// Why a container cannot be started any more.
fn unusable(store: &Store, container: &Container) -> Option<String> {
    let config = match container.config() {
        Err(e) => return Some(e.to_string()),
        Ok(config) => config,
    };
    if let Some(layer) = container.record.layers.iter().find(|layer| store.layer(layer).is_none()) {
        return Some(format!("its layer {layer} is missing: pull or load its image again"));
    }
    let upper = config.rootfs.upper()?;
    (!upper.is_dir()).then(|| format!("the directory of its changes is missing: {}", upper.display()))
}

/// What is where containers and volumes are, and is neither.
fn strays(dirs: &Dirs) -> Vec<PathBuf> {
    let containers = [&dirs.host, &dirs.runtime].map(|base| base.join("containers"));
    let volumes = volumes::directory(dirs);
    let mut found = Vec::new();
    for base in containers.iter().chain([&volumes]) {
        let proper = |entry: &std::fs::DirEntry| {
            let (name, is_dir) = (entry.file_name(), entry.file_type().is_ok_and(|kind| kind.is_dir()));
            name.to_str().is_some_and(|name| match *base == volumes {
                true => name.starts_with('.') || is_dir && crate::state::names::check(name).is_ok(),
                false => is_dir && containers::is_id(name),
            })
        };
        let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
        found.extend(entries.filter(|entry| !proper(entry)).map(|entry| entry.path()));
    }
    found.sort();
    found
}

/// Directories among the volumes that have no description, and that nobody is making at the moment.
fn half_made(dirs: &Dirs) -> Result<Vec<String>> {
    let known: Vec<String> = volumes::list(dirs)?.into_iter().map(|volume| volume.name).collect();
    let base = volumes::directory(dirs);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&base).into_iter().flatten() {
        let entry = entry.context(|| format!("cannot list {}", base.display()))?;
        if let Ok(name) = entry.file_name().into_string()
            && crate::state::names::check(&name).is_ok()
            && !known.contains(&name)
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
        {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

/// Mends what [`check`] found; with `force` removes containers that cannot be mended, and answers their names. One that runs
/// stays: what it misses here it evidently has, so this is not the root it was started from. For a single-threaded process.
pub(crate) fn repair(dirs: &Dirs, store: &Store, report: &Report, force: bool) -> Result<Vec<String>> {
    let mut doomed: Vec<PathBuf> = Vec::new();
    for (id, _) in &report.layers {
        doomed.extend(store.layer(id).map(|layer| layer.directory()));
    }
    if !report.stale.is_empty() {
        // Not while somebody fetches an image: the next one finds them as well.
        images::collect(dirs, store)?;
    }
    report.compressed.iter().try_for_each(|(kept, _)| kept.remove())?;
    for (digest, _) in &report.blobs {
        store.remove_blob(digest)?;
    }
    for damaged in &report.refs {
        store.repair_ref(damaged)?;
    }
    for (name, _) in &report.names {
        match store.remove_ref(name) {
            Err(e) if e.kind() != Kind::NoSuchObject => return Err(e),
            _ => {}
        }
    }
    if !doomed.is_empty() {
        enter::run(&IdMaps::for_user()?, || doomed.iter().try_for_each(|path| remove_path(path)))?;
    }
    for network in &report.networks {
        // What it was cannot be known: it is made again, or containers on it are told that there is none.
        networks::remove_damaged(dirs, &network.name)?;
    }
    for name in &report.volumes {
        volumes::adopt(dirs, name)?;
    }
    for container in &report.nameless {
        repair::restore_name(dirs, container)?;
    }
    let mut removed = Vec::new();
    if force {
        for damaged in &report.damaged {
            damaged::remove(dirs, damaged)?;
            removed.push(damaged.id.clone());
        }
        for (id, name, _) in &report.containers {
            match containers::find(dirs, id) {
                Ok(container) if container.state(dirs)?.status.is_alive() => {}
                Ok(container) => {
                    lifecycle::remove(dirs, &container, Removal { force: false, seconds: None, volumes: false })?;
                    removed.push(name.clone());
                }
                Err(e) if e.kind() == Kind::NoSuchObject => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(removed)
}
