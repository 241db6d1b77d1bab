//! Image archives: `docker save`'s tar, the OCI image layout in a tar or a directory, and Skopeo's `dir:`.
//!
//! Reading indexes the tar once and then reads parts by offset, so that layers can be unpacked in parallel; that needs a
//! regular file (a caller spools a pipe). Writing streams. Everything read is checked like what a registry sends.

mod dir;
mod directory;
mod docker;
mod index;
mod oci;
pub(crate) mod program;
mod write;

use crate::error::{Error, Result};
use crate::image::config::ImageConfig;
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::{DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, MAX_LAYERS, MAX_MANIFEST, Manifest};
use crate::image::platform::Platform;

pub(crate) use directory::Directory;
pub(crate) use index::{Index, Section};
pub(crate) use write::{Content, Format, Saved, Writer};

/// An image in an archive, its layers not read yet.
#[derive(Debug)]
pub(crate) struct Archived {
    /// As written in the archive.
    pub names: Vec<Name>,
    pub config_bytes: Vec<u8>,
    /// The manifest as it stands in the archive; docker archives have none.
    pub manifest: Option<Vec<u8>>,
    pub layers: Vec<ArchivedLayer>,
}

/// A name in an archive. Docker's tags are normalised as Docker does, OCI annotations belong to `localhost` if to nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Docker(String),
    Oci(String),
}

#[derive(Debug)]
pub(crate) struct ArchivedLayer {
    pub diff_id: DiffId,
    /// What the stored bytes must hash to; without it the DiffID is the only check.
    pub digest: Option<Digest>,
    pub media_type: String,
    pub content: Section,
}

/// The images in an archive of either format. `wanted` chooses from an index of several platforms.
pub(crate) fn read(index: &Index, wanted: &Platform) -> Result<Vec<Archived>> {
    // Docker writes both since version 25; its own list has the names.
    if index.contains("manifest.json") {
        if dir::is_one(&index.read_file("manifest.json", MAX_MANIFEST)?) {
            return dir::read(index, wanted);
        }
        return docker::read(index);
    }
    if index.contains("index.json") {
        return oci::read(index, wanted);
    }
    Err(Error::new("there is no image in the archive")
        .hint("an archive made by `save` has a manifest.json or an index.json in it")
        .hint("the archive of a root file system is for `import`"))
}

/// The manifest that Podman gives an image from a docker archive, byte for byte. Layers are named by their DiffIDs and
/// called gzip although they are not, which is harmless: layers are recognised by their content.
pub(crate) fn docker_manifest(config: &[u8], layers: &[(DiffId, u64)]) -> Result<Vec<u8>> {
    const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let layers = layers.iter().map(|(diff_id, size)| Descriptor::new(LAYER, *size, *diff_id)).collect();
    Manifest::new(DOCKER_MANIFEST, Descriptor::of(DOCKER_CONFIG, config), layers).to_bytes()
}

/// A config and the layers that are to match it.
fn paired<T>(config: &ImageConfig, layers: Vec<T>) -> Result<impl Iterator<Item = (DiffId, T)>> {
    let ids = config.rootfs.diff_ids.clone();
    if ids.len() != layers.len() {
        return Err(Error::new(format!("the image has {} layers, its config names {}", layers.len(), ids.len())));
    }
    if ids.len() > MAX_LAYERS {
        return Err(Error::new(format!("the image has more than {MAX_LAYERS} layers")));
    }
    Ok(ids.into_iter().zip(layers))
}

#[cfg(test)]
mod tests;
