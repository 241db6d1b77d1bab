//! `diff`: what has changed in a container, or from one image to another.

use std::path::PathBuf;

use crate::engine::container::record::Root;
use crate::engine::container::store::Container;
use crate::engine::images::Image;
use crate::error::{Error, Result};
use crate::image::digest::DiffId;
use crate::storage::Store;
use crate::storage::diff::{self, Change, Ids};
use crate::userns::{IdMaps, enter};

/// What has files.
#[derive(Debug)]
pub(crate) enum Object {
    Container(Box<Container>),
    Image(Box<Image>),
}

/// Where the runtime mounts what no image has: an empty file or directory there is not the container's.
const MOUNT_POINTS: [&str; 10] = [
    "dev",
    "proc",
    "sys",
    "run",
    "run/.containerenv",
    "run/secrets",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/mtab",
];

/// The paths that [`diff::DiffJob`] is to leave out.
pub(crate) fn mount_points() -> Vec<String> {
    MOUNT_POINTS.map(str::to_owned).to_vec()
}

/// The changes of a container since it was created, or of an image's last layer. For a single-threaded process.
pub(crate) fn of(store: &Store, object: &Object) -> Result<Vec<Change>> {
    let maps = IdMaps::for_user()?;
    match object {
        Object::Container(container) => {
            let (config, below) = (container.config()?, below(store, container)?);
            let ids = Ids::new(&maps, config.maps.as_ref());
            enter::run(&maps, || diff::changes(&config.rootfs, &below, &mount_points(), &ids))
        }
        Object::Image(image) => {
            let layers = directories(store, &image.layers)?;
            let below = layers.get(1..).unwrap_or_default();
            let ids = Ids::default();
            let changes = enter::run(&maps, || diff::between((&layers, &ids), (below, &ids)))?;
            Ok(changes.into_iter().filter(is_its_own).collect())
        }
    }
}

/// What makes `new` of `old`. For a single-threaded process.
pub(crate) fn between(store: &Store, new: &Object, old: &Object) -> Result<Vec<Change>> {
    let maps = IdMaps::for_user()?;
    let directories = |object: &Object| match object {
        Object::Container(container) => {
            let config = container.config()?;
            Ok::<_, Error>((config.rootfs.directories(), Ids::new(&maps, config.maps.as_ref())))
        }
        Object::Image(image) => Ok((directories(store, &image.layers)?, Ids::default())),
    };
    let (new, old) = (directories(new)?, directories(old)?);
    let mut changes = enter::run(&maps, || diff::between((&new.0, &new.1), (&old.0, &old.1)))?;
    changes.retain(is_its_own);
    Ok(changes)
}

/// Whether it is not a place where the runtime mounts something, which a container has and an image need not have.
fn is_its_own(change: &Change) -> bool {
    !MOUNT_POINTS.contains(&change.path.trim_start_matches('/'))
}

/// The directories of the container's image, top first.
pub(super) fn below(store: &Store, container: &Container) -> Result<Vec<PathBuf>> {
    match container.config()?.root {
        Root::Image => directories(store, &container.record.layers),
        // Nobody knows what was in it before.
        Root::Directory(path) => Ok(vec![path]),
        Root::Overlay(path) => Ok(vec![path]),
    }
}

/// Of layers, bottom first, the directories, top first.
fn directories(store: &Store, layers: &[DiffId]) -> Result<Vec<PathBuf>> {
    Ok(store.layers(layers)?.iter().rev().map(|layer| layer.diff()).collect())
}
