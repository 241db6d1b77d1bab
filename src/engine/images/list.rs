//! Every image with its names, for `images`.

use std::collections::BTreeMap;

use super::resolve::{by_manifest, is_repo_digest, is_tag};
use super::summary::{Summaries, Summary};
use super::{Image, NAMELESS, resolve_all, split_pinned};
use crate::engine::manifests;
use crate::error::Result;
use crate::image::digest::Digest;
use crate::storage::Store;

/// An image and all it is called.
#[derive(Debug)]
pub(crate) struct Listed {
    pub image: Summary,
    /// `docker.io/library/alpine:3.20`, sorted.
    pub tags: Vec<String>,
    /// `docker.io/library/alpine@sha256:…`, sorted.
    pub digests: Vec<String>,
    pub size: u64,
    /// A manifest list: its document is all there is of it.
    pub is_list: bool,
    /// In an additional store only.
    pub read_only: bool,
}

impl Listed {
    /// The digests that are names of their own: what was pulled by digest. Those beside a tag of the same repository came with it.
    pub(super) fn digest_names(&self) -> impl Iterator<Item = &String> {
        let tagged = |repository: &str| {
            self.tags.iter().any(|tag| tag.rsplit_once(':').is_some_and(|(tagged, _)| tagged == repository))
        };
        self.digests.iter().filter(move |name| !split_pinned(name).is_some_and(|(repository, _)| tagged(repository)))
    }

    /// Whether nothing is called so.
    pub(super) fn is_dangling(&self) -> bool {
        self.tags.is_empty() && self.digests.is_empty()
    }
}

/// What is in the store, newest first, and what cannot be read of it.
pub(crate) fn list(store: &Store) -> Result<(Vec<Listed>, Vec<String>)> {
    let mut images: BTreeMap<Digest, Listed> = BTreeMap::new();
    let refs = store.list_refs();
    let mut damaged: Vec<String> = refs.damaged.into_iter().map(|damaged| damaged.why).collect();
    let mut summaries = Summaries::open(store)?;
    for (manifest, names) in by_manifest(refs.named) {
        let image = match summaries.image(manifest) {
            Ok(image) => image,
            Err(error) => {
                damaged.extend(names.first().map(|name| format!("{name}: {error}")));
                continue;
            }
        };
        let size = summaries.size(&image)?;
        let entry = images.entry(image.id).or_insert_with(|| Listed {
            image,
            tags: Vec::new(),
            digests: Vec::new(),
            size,
            is_list: false,
            read_only: false,
        });
        for name in names {
            if is_tag(&name) {
                entry.tags.push(name);
            } else if is_repo_digest(&name) {
                entry.digests.push(name);
            }
        }
    }
    summaries.keep();
    let mut images: Vec<Listed> = images.into_values().collect();
    images.extend(manifests::all(store)?.into_iter().map(of_list));
    for listed in &mut images {
        listed.read_only = is_read_only(store, listed)?;
        listed.tags.sort();
        listed.digests.sort();
    }
    images.sort_by(|a, b| b.image.created.cmp(&a.image.created).then_with(|| a.tags.cmp(&b.tags)));
    Ok((images, damaged))
}

/// Whether no name of it is in the user's own store.
fn is_read_only(store: &Store, listed: &Listed) -> Result<bool> {
    if !store.has_additional() {
        return Ok(false);
    }
    let prefix = if listed.is_list { manifests::PREFIX } else { "" };
    let nameless = format!("{NAMELESS}@{}", listed.image.manifest);
    for name in listed.tags.iter().chain(&listed.digests).chain([&nameless]) {
        if store.has_own_ref(&format!("{prefix}{name}"))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A list among the images.
fn of_list(list: manifests::Named) -> Listed {
    let digests = list.names.iter().filter_map(|name| name.rsplit_once(':'));
    let digests = digests.map(|(repository, _)| format!("{repository}@{}", list.digest)).collect();
    let image = Summary::of_list(list.digest, list.changed, list.size);
    Listed { image, tags: list.names, digests, size: list.size, is_list: true, read_only: false }
}

/// The image's tags, sorted.
pub(crate) fn tags(store: &Store, image: &Image) -> Result<Vec<String>> {
    Ok(listed(store, image)?.tags)
}

/// One image as [`list`] shows it.
pub(super) fn listed(store: &Store, image: &Image) -> Result<Listed> {
    let (mut tags, mut digests) = (Vec::new(), Vec::new());
    for (manifest, names) in resolve_all(store) {
        if manifest != image.manifest && super::resolve::image_id(store, &manifest)? != Some(image.id) {
            continue;
        }
        tags.extend(names.iter().filter(|name| is_tag(name)).cloned());
        digests.extend(names.into_iter().filter(|name| is_repo_digest(name)));
    }
    tags.sort();
    digests.sort();
    let (image, size) = (Summary::of(image), image.size(store)?);
    Ok(Listed { image, tags, digests, size, is_list: false, read_only: false })
}
