//! Images as users know them: found by name or id, pulled, loaded, saved, listed, removed.
//!
//! How names are kept in the store's refs:
//! ```text
//! docker.io/library/alpine:3.20               → manifest   a tag
//! docker.io/library/alpine@sha256:<manifest>  → manifest   set with every tag, and gone with the last of the repository
//! docker.io/library/alpine@sha256:<index>     → manifest   what a pinned multi-platform name means on this host
//! <none>@sha256:<manifest>                    → manifest   an image that has no name
//! ```
//! Several manifests may share a config, which is the image's id; they are one image.

mod apart;
mod export;
mod filter;
mod history;
mod import;
mod inspect;
mod list;
mod load;
mod local;
mod mount;
mod progress;
mod prune;
mod pull;
mod push;
mod put;
mod remove;
mod resolve;
mod save;
mod scp;
mod search;
mod sign;
mod skipped;
mod space;
mod summary;
mod tag;
mod tags;
mod tree;
mod verify;

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result};
use crate::image::config::ImageConfig;
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::{Document, Manifest};
use crate::image::reference::Reference;
use crate::storage::Store;

pub(crate) use apart::{Download, apart, pull_apart};
pub(crate) use filter::Filter;
pub(crate) use history::{HistoryEntry, history};
pub(crate) use import::{ImportOptions, import};
pub(crate) use inspect::{Inspection, inspect};
pub(crate) use list::{Listed, list, tags};
pub(crate) use load::{Loaded, load};
pub(crate) use local::{pull_local, pull_unnamed};
pub(crate) use mount::{mount, mounted, mounted_id, unmount};
pub(crate) use progress::{LayerProgress, LayerState, Progress};
pub(crate) use prune::{Pruned, prune, used};
pub(crate) use pull::{PullOptions, PullPolicy, pull};
pub(crate) use push::{ManifestFormat, Part, PushOptions, push, push_list_local, push_local, push_part};
pub(crate) use put::put;
pub(crate) use remove::{RemoveOptions, collect, everything, remove};
pub(crate) use resolve::{is_image_name, resolve, resolve_all};
pub(crate) use save::{SaveOptions, plan as plan_save, save, save_directory};
pub(crate) use scp::{Copied, Place, scp};
pub(crate) use search::{SearchHit, SearchOptions, search, search_tags};
pub(crate) use sign::{can_sign, sign, sign_pushed};
pub(crate) use skipped::left_out;
pub(crate) use space::shared;
pub(crate) use tag::{new_name, tag, untag};
use tags::list_tags;
pub(crate) use tags::{all_tags, remote_manifest};
pub(crate) use tree::{Node as TreeNode, dependents as tree_dependents, layers as tree_layers};

/// The repository of images that have no name.
const NAMELESS: &str = "<none>";

/// An image in the store.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The config's digest.
    pub id: Digest,
    pub manifest: Digest,
    pub config: ImageConfig,
    /// Bottom first.
    pub layers: Vec<DiffId>,
    /// The name it was found by, normalised; `None` when it was found by id.
    pub name: Option<String>,
}

impl Image {
    /// Reads manifest and config; the layers are not looked at.
    pub(crate) fn read(store: &Store, manifest: Digest) -> Result<Self> {
        Self::read_sized(store, manifest).map(|(image, _)| image)
    }

    /// [`Image::read`], and the bytes of manifest and config.
    fn read_sized(store: &Store, manifest: Digest) -> Result<(Self, u64)> {
        let (document, config_bytes) = read_manifest(store, &manifest)?;
        let documents = config_bytes.len() as u64 + document.to_bytes()?.len() as u64;
        let config = ImageConfig::parse(&config_bytes)?;
        let layers = config.rootfs.diff_ids.clone();
        Ok((Self { id: document.config.digest, manifest, config, layers, name: None }, documents))
    }

    /// The bytes of everything but what layers share with other images: what `images` shows.
    pub(crate) fn size(&self, store: &Store) -> Result<u64> {
        let mut size = 0u64;
        for layer in self.layers.iter().collect::<BTreeSet<_>>() {
            size = size.saturating_add(layer_size(store, layer)?);
        }
        let (document, config) = read_manifest(store, &self.manifest)?;
        Ok(size.saturating_add(config.len() as u64).saturating_add(document.to_bytes()?.len() as u64))
    }

    /// When it was made; images without a date count as made in 1970.
    pub(crate) fn created(&self) -> jiff::Timestamp {
        self.config.created().unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

/// The manifest, and the bytes of its config.
fn read_manifest(store: &Store, digest: &Digest) -> Result<(Manifest, Vec<u8>)> {
    match Document::parse(&store.read_blob(digest)?, None)? {
        Document::Image(manifest) => {
            let config = store.read_blob(&manifest.config.digest)?;
            Ok((*manifest, config))
        }
        Document::Index(_) => Err(Error::new(format!("{digest} is an index where an image should be"))),
    }
}

/// The bytes of a layer's tar; 0 when it is missing, which only makes the image unusable, not unlisted.
fn layer_size(store: &Store, diff_id: &DiffId) -> Result<u64> {
    store.layer(diff_id).map_or(Ok(0), |layer| layer.meta().map(|meta| meta.size))
}

/// Whether a document that names lead to is an index.
pub(crate) fn is_index(store: &Store, digest: &Digest) -> Result<bool> {
    Ok(matches!(Document::parse(&store.read_blob(digest)?, None)?, Document::Index(_)))
}

/// Refuses what can be no image's name, for verbs that would say of it that there is no such image.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let why = match name {
        "" => "repository name must have at least one component",
        name if name.chars().any(char::is_control) => "invalid reference format",
        _ => return Ok(()),
    };
    Err(Error::new(format!("parsing reference {name:?}: {why}")))
}

fn not_known(name: &str) -> Error {
    Error::new(format!("{name}: image not known")).with_kind(Kind::NoSuchObject)
}

/// Gives an image a name: the tag, and the pinned name that comes with it. What the tag named before stays, without it.
pub(crate) fn name_image(store: &Store, name: &Reference, manifest: &Digest) -> Result<()> {
    store.set_ref(&name.pinned(manifest), manifest)?;
    if name.digest().is_some() {
        return Ok(());
    }
    let tag = name.store_name();
    // What a damaged one meant, nobody knows.
    let before = store.get_ref(&tag).ok().flatten();
    store.set_ref(&tag, manifest)?;
    match before.filter(|before| before != manifest) {
        Some(before) => {
            keep_nameless(store, &before)?;
            tag::forget_digests(store, &tag, &before)
        }
        None => Ok(()),
    }
}

/// Keeps an image that has no name.
pub(crate) fn keep_nameless(store: &Store, manifest: &Digest) -> Result<()> {
    store.set_ref(&format!("{NAMELESS}@{manifest}"), manifest)
}

/// Whether [`keep_nameless`] was done for it.
fn is_kept_nameless(store: &Store, manifest: &Digest) -> Result<bool> {
    store.get_ref(&format!("{NAMELESS}@{manifest}")).map(|found| found.is_some())
}

/// Takes back what [`keep_nameless`] did, once something else keeps the image.
pub(crate) fn forget_nameless(store: &Store, manifest: &Digest) -> Result<()> {
    store.remove_ref(&format!("{NAMELESS}@{manifest}"))
}

/// `repository` and the digest of a pinned name.
fn split_pinned(name: &str) -> Option<(&str, &str)> {
    name.split_once('@')
}
