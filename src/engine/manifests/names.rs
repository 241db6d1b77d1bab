//! What lists are called: all of them, found by name or id, names given and taken.
//!
//! A list without a name is kept as `<index><none>@sha256:…`, like an image.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{List, PREFIX};
use crate::engine::images;
use crate::error::{Context, Error, Kind, Result};
use crate::image::digest::Digest;
use crate::image::reference::{DOCKER_HUB, LOCAL_HOST, Reference, is_short};
use crate::storage::Store;

/// What the kept name of a nameless list begins with.
const NAMELESS: &str = "<none>@";

/// A list as listings show it. Its id is its digest.
#[derive(Debug)]
pub(crate) struct Named {
    pub digest: Digest,
    /// Full names, sorted; empty for a list that only has its id.
    pub names: Vec<String>,
    /// Bytes of the document.
    pub size: u64,
    /// When it became what it is.
    pub changed: Timestamp,
}

/// Every list of the store.
pub(crate) fn all(store: &Store) -> Result<Vec<Named>> {
    let mut lists = Vec::new();
    for (digest, names) in refs(store) {
        // A damaged one is found by its name, which says so.
        let Ok(content) = store.read_blob(&digest) else { continue };
        let changed = store.blob_time(&digest).and_then(|time| Timestamp::try_from(time).ok());
        let names = names.into_iter().filter(|name| !name.starts_with(NAMELESS)).collect();
        let changed = changed.unwrap_or(Timestamp::UNIX_EPOCH);
        lists.push(Named { digest, names, size: content.len() as u64, changed });
    }
    Ok(lists)
}

/// Names without [`PREFIX`], by what they mean.
fn refs(store: &Store) -> BTreeMap<Digest, Vec<String>> {
    let mut lists: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for (name, digest) in store.list_refs_from(PREFIX).named {
        if let Some(name) = name.strip_prefix(PREFIX) {
            lists.entry(digest).or_default().push(name.to_owned());
        }
    }
    lists
}

/// The list of that name, if there is one. Short names mean a list made here first.
pub(crate) fn by_name(store: &Store, name: &str) -> Result<Option<List>> {
    let hosts: &[&str] = if is_short(name) { &[LOCAL_HOST, DOCKER_HUB] } else { &[DOCKER_HUB] };
    for host in hosts {
        let Ok(reference) = Reference::with_default_host(name, host) else { return Ok(None) };
        let name = reference.store_name();
        if let Some(digest) = store.get_ref(&format!("{PREFIX}{name}"))? {
            return read(store, name, digest).map(Some);
        }
    }
    Ok(None)
}

/// The list with that id, or one that begins so.
pub(super) fn by_id(store: &Store, text: &str) -> Result<Option<List>> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()) {
        return Ok(None);
    }
    let mut found: Vec<_> = refs(store).into_iter().filter(|(digest, _)| digest.hex().starts_with(digits)).collect();
    match (found.pop(), found.is_empty()) {
        (None, _) => Ok(None),
        (Some((digest, mut names)), true) => {
            names.sort_by_key(|name| name.starts_with(NAMELESS));
            read(store, names.swap_remove(0), digest).map(Some)
        }
        (Some(_), false) => Err(Error::new(format!("{text} is the beginning of several ids of lists"))),
    }
}

fn read(store: &Store, name: String, digest: Digest) -> Result<List> {
    let content = store.read_blob(&digest)?;
    let content = serde_json::from_slice(&content).context(|| format!("the list {name} is damaged"))?;
    Ok(List { name, digest, content })
}

/// Gives a list further names, which lists or images may have had until now.
pub(crate) fn tag(store: &Store, list: &List, names: &[String]) -> Result<()> {
    let names = names.iter().map(|name| images::new_name(name)).collect::<Result<Vec<_>>>()?;
    names.iter().try_for_each(|name| store.set_ref(&format!("{PREFIX}{}", name.store_name()), &list.digest))
}

/// Takes `names` from a list, or all its names. The list stays.
pub(crate) fn untag(store: &Store, list: &List, names: &[String]) -> Result<()> {
    let own = refs(store).remove(&list.digest).unwrap_or_default();
    let mut doomed: Vec<String> =
        own.iter().filter(|name| names.is_empty() && !name.starts_with(NAMELESS)).cloned().collect();
    for name in names {
        let candidates = [Reference::parse_local(name)?, Reference::parse(name)?].map(|r| r.store_name());
        let found = candidates.into_iter().find(|full| own.contains(full));
        doomed.push(found.ok_or_else(|| Error::new(format!("{name}: tag not known")).with_kind(Kind::NoSuchObject))?);
    }
    if own.iter().all(|name| doomed.contains(name)) {
        store.set_ref(&format!("{PREFIX}{NAMELESS}{}", list.digest), &list.digest)?;
    }
    doomed.iter().try_for_each(|name| store.remove_ref(&format!("{PREFIX}{name}")))
}

/// What has become of a list.
#[derive(Debug)]
pub(crate) struct Forgotten {
    pub untagged: Vec<String>,
    /// Whether nothing is left of it.
    pub deleted: bool,
}

/// Takes the name `name` from a list, and with its last one the list; an id takes all names. Its images stay.
pub(crate) fn forget(store: &Store, list: &List, name: &str, force: bool) -> Result<Forgotten> {
    let own = refs(store).remove(&list.digest).unwrap_or_default();
    let tags: Vec<String> = own.iter().filter(|name| !name.starts_with(NAMELESS)).cloned().collect();
    let is_named = by_name(store, name)?.is_some();
    let (doomed, deleted) = match (is_named, tags.len()) {
        (true, 2..) => (vec![list.name.clone()], false),
        (false, 2..) if !force => {
            return Err(Error::new(format!(
                "unable to delete image {:?} by ID with more than one tag ([{}]): please force removal",
                list.digest.hex(),
                tags.join(" ")
            )));
        }
        _ => (own, true),
    };
    for name in &doomed {
        match store.remove_ref(&format!("{PREFIX}{name}")) {
            // Somebody else may remove it too.
            Err(error) if error.kind() == Kind::NoSuchObject => {}
            removed => removed?,
        }
    }
    let untagged = doomed.into_iter().filter(|name| !name.starts_with(NAMELESS)).collect();
    Ok(Forgotten { untagged, deleted })
}
