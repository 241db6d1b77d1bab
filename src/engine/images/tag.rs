//! `tag` and `untag`.

use super::resolve::is_tag;
use super::{Image, keep_nameless, name_image, resolve_all};
use crate::error::{Error, Kind, Result};
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::storage::Store;

/// Gives `image` further names. A short name belongs to `localhost`, as in Podman.
pub(crate) fn tag(store: &Store, image: &Image, names: &[String]) -> Result<()> {
    let names = names.iter().map(|name| new_name(name)).collect::<Result<Vec<_>>>()?;
    names.iter().try_for_each(|name| name_image(store, name, &image.manifest))
}

/// A name that may be given to an image made here.
pub(crate) fn new_name(name: &str) -> Result<Reference> {
    let reference = Reference::parse_local(name)?;
    if reference.digest().is_some() {
        return Err(Error::new(format!("{name}: an image cannot be given a digest as its name")));
    }
    Ok(reference)
}

/// Takes `names` from `image`, or all its names. The image stays.
pub(crate) fn untag(store: &Store, image: &Image, names: &[String]) -> Result<()> {
    let own: Vec<String> =
        resolve_all(store).into_iter().filter(|(m, _)| *m == image.manifest).flat_map(|(_, names)| names).collect();
    let mut doomed = Vec::new();
    for name in names {
        let [local, hub] = [Reference::parse_local(name)?, Reference::parse(name)?].map(|r| r.store_name());
        let unknown = || Error::new(format!("{local}: tag not known")).with_kind(Kind::NoSuchObject);
        let found = [&local, &hub].into_iter().find(|full| own.contains(full)).ok_or_else(unknown)?;
        doomed.push(found.clone());
    }
    if names.is_empty() {
        doomed = own.iter().filter(|name| is_tag(name)).cloned().collect();
        // All that may be taken, where some are in a store that is only read.
        let mut taken = Vec::new();
        for name in &doomed {
            if store.has_own_ref(name)? {
                taken.push(name.clone());
            }
        }
        if !taken.is_empty() {
            doomed = taken;
        }
    }
    for name in &doomed {
        if !store.has_own_ref(name)? {
            // Says where it is, before anything has changed.
            store.remove_ref(name)?;
        }
    }
    // Images from archives of older days may have nothing but the tag.
    keep_nameless(store, &image.manifest)?;
    doomed.iter().try_for_each(|name| store.remove_ref(name))?;
    doomed.iter().try_for_each(|name| forget_digests(store, name, &image.manifest))
}

/// After the image has lost the tag `name`: unless it has another one in that repository, it is not known there by its digest
/// either, which came with the tag.
pub(super) fn forget_digests(store: &Store, name: &str, manifest: &Digest) -> Result<()> {
    let repository = repository_of(name);
    let names = store.list_refs_from(repository).named.into_iter().filter(|(_, digest)| digest == manifest);
    let names: Vec<String> = names.map(|(name, _)| name).filter(|name| repository_of(name) == repository).collect();
    if names.iter().any(|name| is_tag(name)) {
        return Ok(());
    }
    for name in names {
        if store.has_own_ref(&name)? {
            store.remove_ref(&name)?;
        }
    }
    Ok(())
}

/// A ref's name without its tag or digest.
fn repository_of(name: &str) -> &str {
    let parts = name.split_once('@').or_else(|| name.rsplit_once(':'));
    parts.map_or(name, |(repository, _)| repository)
}
