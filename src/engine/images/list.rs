//! Every image with its names, for `images`.

use std::collections::BTreeMap;

use super::resolve::{is_repo_digest, is_tag};
use super::{Image, resolve_all};
use crate::error::Result;
use crate::image::digest::Digest;
use crate::storage::Store;

/// An image and all it is called.
#[derive(Debug)]
pub(crate) struct Listed {
    pub image: Image,
    /// `docker.io/library/alpine:3.20`, sorted.
    pub tags: Vec<String>,
    /// `docker.io/library/alpine@sha256:…`, sorted.
    pub digests: Vec<String>,
    pub size: u64,
}

/// What is in the store, newest first, and the names of images that cannot be read.
pub(crate) fn list(store: &Store) -> Result<(Vec<Listed>, Vec<String>)> {
    let mut images: BTreeMap<Digest, Listed> = BTreeMap::new();
    let mut damaged = Vec::new();
    for (manifest, names) in resolve_all(store)? {
        let image = match Image::read(store, manifest) {
            Ok(image) => image,
            Err(error) => {
                damaged.extend(names.first().map(|name| format!("{name}: {error}")));
                continue;
            }
        };
        let size = image.size(store)?;
        let entry =
            images.entry(image.id).or_insert_with(|| Listed { image, tags: Vec::new(), digests: Vec::new(), size });
        for name in names {
            if is_tag(&name) {
                entry.tags.push(name);
            } else if is_repo_digest(&name) {
                entry.digests.push(name);
            }
        }
    }
    let mut images: Vec<Listed> = images.into_values().collect();
    for listed in &mut images {
        listed.tags.sort();
        listed.digests.sort();
    }
    images.sort_by(|a, b| b.image.created().cmp(&a.image.created()).then_with(|| a.tags.cmp(&b.tags)));
    Ok((images, damaged))
}

/// One image as [`list`] shows it.
pub(super) fn listed(store: &Store, image: &Image) -> Result<Listed> {
    let (mut tags, mut digests) = (Vec::new(), Vec::new());
    for (manifest, names) in resolve_all(store)? {
        if manifest != image.manifest && super::resolve::image_id(store, &manifest)? != Some(image.id) {
            continue;
        }
        tags.extend(names.iter().filter(|name| is_tag(name)).cloned());
        digests.extend(names.into_iter().filter(|name| is_repo_digest(name)));
    }
    tags.sort();
    digests.sort();
    Ok(Listed { image: image.clone(), tags, digests, size: image.size(store)? })
}
