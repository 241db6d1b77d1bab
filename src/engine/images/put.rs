//! An image made here: its config and manifest, for layers that the store has.

use super::{keep_nameless, name_image};
use crate::error::Result;
use crate::image::config::ImageConfig;
use crate::image::digest::Digest;
use crate::image::manifest::{
    DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};
use crate::image::reference::Reference;
use crate::storage::Store;

/// Keeps the image, under `name` if it has one, with Docker's media types or OCI's; answers its id. The caller holds the
/// store's garbage lock since before the layers were made.
pub(crate) fn put(store: &Store, config: &ImageConfig, docker: bool, name: Option<&Reference>) -> Result<Digest> {
    let (kind, config_kind, layer_kind) = match docker {
        true => (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER),
        false => (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER),
    };
    let mut layers = Vec::with_capacity(config.rootfs.diff_ids.len());
    for (diff_id, layer) in config.rootfs.diff_ids.iter().zip(store.layers(&config.rootfs.diff_ids)?) {
        layers.push(Descriptor::new(layer_kind, layer.meta()?.size, *diff_id));
    }
    let bytes = config.to_bytes()?;
    let id = store.put_blob(&bytes)?;
    let manifest = Manifest::new(kind, Descriptor::of(config_kind, &bytes), layers).to_bytes()?;
    let manifest = store.put_blob(&manifest)?;
    match name {
        Some(name) => name_image(store, name, &manifest)?,
        None => keep_nameless(store, &manifest)?,
    }
    Ok(id)
}
