//! From what was typed to an image: a name, a short name, a digest, an id or the beginning of one.

use std::collections::BTreeMap;

use super::{Image, NAMELESS, not_known, split_pinned};
use crate::engine::manifests;
use crate::error::{Context, Error, Kind, Result};
use crate::image::digest::Digest;
use crate::image::manifest::Document;
use crate::image::reference::{DOCKER_HUB, LOCAL_HOST, Reference, is_short};
use crate::storage::Store;

/// What images inside the program are called; no registry has such names.
const BUILTIN: &str = "builtin:";

/// The image that `name` means. On the start path: one ref and two blobs are read when the name is a tag.
pub(crate) fn resolve(store: &Store, name: &str) -> Result<Image> {
    if let Some((full, manifest)) = by_name(store, name)? {
        return Ok(Image { name: Some(full), ..Image::read(store, manifest)? });
    }
    // A list stands for the image in it that is for this machine.
    if let Some(list) = manifests::by_name(store, name)? {
        let manifest = list.own_manifest().context(|| format!("{name} is a manifest list"))?;
        return Ok(Image { name: Some(list.name), ..Image::read(store, manifest)? });
    }
    if let Some(manifest) = by_id(store, name)? {
        return Image::read(store, manifest);
    }
    if let Some((full, manifest)) = by_last_components(store, name)? {
        return Ok(Image { name: Some(full), ..Image::read(store, manifest)? });
    }
    Err(not_known(name))
}

/// Every image in the store with its names (tags and pinned ones).
pub(crate) fn resolve_all(store: &Store) -> Vec<(Digest, Vec<String>)> {
    by_manifest(store.list_refs().named)
}

/// The names of images by what they mean.
pub(super) fn by_manifest(refs: Vec<(String, Digest)>) -> Vec<(Digest, Vec<String>)> {
    let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for (name, manifest) in refs {
        // Lists are not images.
        if name.starts_with(manifests::PREFIX) {
            continue;
        }
        names.entry(manifest).or_default().push(name);
    }
    names.into_iter().collect()
}

/// Whether an image itself is called so, not only a list that has one.
pub(crate) fn is_image_name(store: &Store, name: &str) -> Result<bool> {
    Ok(by_name(store, name)?.is_some())
}

/// A name as the store keeps it. Short names mean an image made here before one of Docker Hub.
fn by_name(store: &Store, name: &str) -> Result<Option<(String, Digest)>> {
    if name.starts_with(BUILTIN) {
        return Ok(store.get_ref(name).ok().flatten().map(|manifest| (name.to_owned(), manifest)));
    }
    let hosts: &[&str] = if is_short(name) { &[LOCAL_HOST, DOCKER_HUB] } else { &[DOCKER_HUB] };
    for host in hosts {
        // What is not a name may still be an id.
        let Ok(reference) = Reference::with_default_host(name, host) else { return Ok(None) };
        let full = reference.store_name();
        if let Some(manifest) = store.get_ref(&full)? {
            return Ok(Some((full, manifest)));
        }
    }
    Ok(None)
}

/// `sha256:…` or hexadecimal digits: an image id, a beginning of one, or a manifest's digest.
fn by_id(store: &Store, text: &str) -> Result<Option<Digest>> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.is_empty()
        || digits.len() > 64
        || !digits.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    {
        return Ok(None);
    }
    let mut found: Option<(Digest, Digest)> = None;
    for (manifest, _) in resolve_all(store) {
        let Some(id) = image_id(store, &manifest)? else { continue };
        if id.hex().starts_with(digits) || digits.len() == 64 && manifest.hex() == digits {
            match found {
                Some((_, other)) if other != id => {
                    return Err(Error::new(format!("{text} is the beginning of several image ids"))
                        .hint("give more digits of the id")
                        .with_kind(Kind::Conflict));
                }
                _ => found = Some((manifest, id)),
            }
        }
    }
    Ok(found.map(|(manifest, _)| manifest))
}

/// The id of the image with that manifest; `None` when the manifest is damaged or gone, which must not hide the others.
pub(super) fn image_id(store: &Store, manifest: &Digest) -> Result<Option<Digest>> {
    let Ok(content) = store.read_blob(manifest) else { return Ok(None) };
    match Document::parse(&content, None) {
        Ok(Document::Image(manifest)) => Ok(Some(manifest.config.digest)),
        _ => Ok(None),
    }
}

/// A short name may be the end of a longer one: `app` finds `reg.example/team/app:latest` when nothing else does.
fn by_last_components(store: &Store, name: &str) -> Result<Option<(String, Digest)>> {
    if !is_short(name) {
        return Ok(None);
    }
    let Ok(wanted) = Reference::with_default_host(name, LOCAL_HOST) else { return Ok(None) };
    let wanted = wanted.store_name();
    let Some(ending) = wanted.strip_prefix(LOCAL_HOST) else { return Ok(None) };
    let is_image = |full: &str| full.ends_with(ending) && !full.starts_with(manifests::PREFIX);
    let mut found = store.list_refs().named.into_iter().filter(|(full, _)| is_image(full));
    Ok(found.next())
}

/// Whether a ref's name is a tag; the others only keep the image.
pub(super) fn is_tag(name: &str) -> bool {
    split_pinned(name).is_none()
}

/// Whether a ref's name is a digest in a repository.
pub(super) fn is_repo_digest(name: &str) -> bool {
    split_pinned(name).is_some_and(|(repository, _)| repository != NAMELESS)
}
