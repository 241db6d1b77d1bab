//! `rmi`: takes names away, and with the last one the image.

use super::list::{Listed, listed};
use super::tag::forget_digests;
use super::{Image, list, not_known, resolve, resolve_all, split_pinned};
use crate::engine::container::store as container;
use crate::engine::manifests::{self, List};
use crate::error::{Error, Kind, Result};
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::state::paths::Dirs;
use crate::storage::{Freed, Store};

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RemoveOptions {
    /// Also when it has several names or containers; what is not there is no error.
    pub force: bool,
    /// What is not there is no error.
    pub ignore: bool,
    /// An id means the image with all its names.
    pub all_names: bool,
}

/// What has gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Removal {
    /// Of the image that the names meant.
    pub id: String,
    pub untagged: Vec<String>,
    /// The image's id, when nothing is left of it.
    pub deleted: Option<String>,
}

/// Removes `name`. `users` answers the containers of an image. Layers go when the caller collects garbage.
pub(crate) fn remove(
    store: &Store,
    name: &str,
    options: RemoveOptions,
    users: &dyn Fn(&Digest) -> Result<Vec<String>>,
) -> Result<Removal> {
    if !matches!(super::is_image_name(store, name), Ok(true) | Err(_))
        && let Some(list) = manifests::by_name(store, name)?
    {
        return remove_list(store, &list, name, options);
    }
    let image = match resolve(store, name) {
        Ok(image) => image,
        Err(e) if e.kind() == Kind::NoSuchObject && manifests::find(store, name)?.is_some() => {
            let list = manifests::get(store, name)?;
            return remove_list(store, &list, name, options);
        }
        Err(e) if e.kind() == Kind::NoSuchObject && (options.force || options.ignore) => return Ok(Removal::default()),
        Err(e) if e.kind() == Kind::NoSuchObject => return Err(not_known(name)),
        // A damaged image must be removable, or nothing ever repairs the store.
        Err(e) => return remove_damaged(store, name).unwrap_or(Err(e)),
    };
    let listed = listed(store, &image)?;
    if let Some(named) = image.name.clone().filter(|name| is_one_of_several(name, &listed)) {
        store.remove_ref(&named)?;
        if super::resolve::is_tag(&named) {
            forget_digests(store, &named, &image.manifest)?;
        }
        return Ok(Removal { id: image.id.hex(), untagged: vec![named], deleted: None });
    }
    if image.name.is_none() && listed.tags.len() > 1 && !options.force && !options.all_names {
        return Err(Error::new(format!(
            "unable to delete image {:?} by ID with more than one tag ([{}]): please force removal",
            image.id.hex(),
            listed.tags.join(" ")
        )));
    }
    let containers = users(&image.id)?;
    if let Some(container) = containers.first().filter(|_| !options.force) {
        return Err(Error::new(format!("image used by {container}: image is in use by a container"))
            .hint(format!("remove it first (rpod rm {}), or use --force", container.get(..12).unwrap_or(container)))
            .with_kind(Kind::Conflict));
    }
    forget(store, &image, listed)
}

fn remove_list(store: &Store, list: &List, name: &str, options: RemoveOptions) -> Result<Removal> {
    let forgotten = manifests::forget(store, list, name, options.force || options.all_names)?;
    let deleted = forgotten.deleted.then(|| list.digest.hex());
    Ok(Removal { id: list.digest.hex(), untagged: forgotten.untagged, deleted })
}

/// Every image of the store, for `rmi --all`.
pub(crate) fn everything(store: &Store) -> Result<Vec<String>> {
    let own = list(store)?.0.into_iter().filter(|listed| !listed.read_only);
    Ok(own.map(|listed| listed.image.id.hex()).collect())
}

/// Frees what no name and no container leads to any more; `None` while somebody fetches an image.
pub(crate) fn collect(dirs: &Dirs, store: &Store) -> Result<Option<Freed>> {
    store.try_collect(|| container::keep(dirs))
}

/// Whether the image keeps a name without this one. The digests of one repository are a manifest's own and those of lists that
/// it was found in: one name. Beside a tag of the repository they are none.
fn is_one_of_several(name: &str, listed: &Listed) -> bool {
    match split_pinned(name) {
        None => listed.tags.len() > 1 || listed.digest_names().next().is_some(),
        Some((repository, _)) => {
            let elsewhere = |other: &String| split_pinned(other).is_some_and(|(other, _)| other != repository);
            !listed.tags.is_empty() || listed.digests.iter().any(elsewhere)
        }
    }
}

/// Removes every name that keeps the image, tags first: what a crash leaves is an image without a name, not a name without
/// its digest.
fn forget(store: &Store, image: &Image, listed: Listed) -> Result<Removal> {
    let mut own = Vec::new();
    let mut foreign = None;
    for (manifest, mut names) in resolve_all(store) {
        names.sort_by_key(|name| !super::resolve::is_tag(name));
        if manifest == image.manifest || super::resolve::image_id(store, &manifest)? == Some(image.id) {
            for name in names {
                match store.has_additional() && !store.has_own_ref(&name)? {
                    // Tags come first: the name that a person knows.
                    true => foreign = foreign.or(Some(name)),
                    false => own.push(name),
                }
            }
        }
    }
    if let Some(name) = foreign.as_ref().filter(|_| own.is_empty()) {
        // Says where it is.
        store.remove_ref(name)?;
    }
    // A damaged name that tells by itself that it is one of them would bring the image back when it is mended.
    let pinned = |name: &str| split_pinned(name).is_some_and(|(_, digest)| digest == image.manifest.to_string());
    let damaged = store.list_own_refs().damaged.into_iter().map(|damaged| damaged.name).filter(|name| pinned(name));
    for name in own.iter().cloned().chain(damaged) {
        unless_gone(store.remove_ref(&name))?;
    }
    let named = image.name.clone().filter(|name| !super::resolve::is_tag(name));
    let untagged = listed.tags.into_iter().chain(named).filter(|name| own.contains(name)).collect();
    Ok(Removal { id: image.id.hex(), untagged, deleted: foreign.is_none().then(|| image.id.hex()) })
}

fn remove_damaged(store: &Store, name: &str) -> Option<Result<Removal>> {
    let full = [Reference::parse_local(name), Reference::parse(name)]
        .into_iter()
        .flatten()
        .map(|reference| reference.store_name())
        .find(|full| !matches!(store.get_ref(full), Ok(None)))?;
    let Some(manifest) = store.get_ref(&full).ok().flatten() else {
        // The name itself is what is damaged.
        let removed = store.remove_ref(&full);
        return Some(removed.map(|()| Removal { untagged: vec![full], ..Removal::default() }));
    };
    let names = resolve_all(store).into_iter().filter(|(m, _)| *m == manifest).flat_map(|(_, names)| names);
    for name in names {
        if let Err(error) = store.remove_ref(&name) {
            return Some(Err(error));
        }
    }
    Some(Ok(Removal { id: manifest.hex(), untagged: vec![full], deleted: Some(manifest.hex()) }))
}

/// Somebody else may remove the same image.
fn unless_gone(removed: Result<()>) -> Result<()> {
    match removed {
        Err(error) if error.kind() == Kind::NoSuchObject => Ok(()),
        other => other,
    }
}
