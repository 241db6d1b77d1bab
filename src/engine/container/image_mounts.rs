//! `--mount type=image`: the files of another image inside a container.

use std::path::Path;

use super::options::RunOptions;
use super::options::mounts::MountRequest;
use super::resolve::{self, ImageMount};
use crate::engine::images;
use crate::error::{Error, Result};
use crate::image::digest::DiffId;
use crate::storage::{IdShift, Store};

/// What their directories are called.
pub(super) const PREFIX: &str = "image-";

/// Whether layers of images beside the container's own are needed.
pub(super) fn any(options: &RunOptions) -> bool {
    options.mounts.iter().any(|mount| matches!(mount, MountRequest::Image { .. }))
}

/// Finds the images, which are not pulled, and makes of each what a container's root would be made of; answers their
/// layers as well. `disk` is the container's directory.
pub(super) fn prepare(
    store: &Store,
    options: &RunOptions,
    disk: &Path,
    shift: &IdShift,
) -> Result<(Vec<ImageMount>, Vec<DiffId>)> {
    let (mut mounts, mut layers) = (Vec::new(), Vec::new());
    for request in &options.mounts {
        let MountRequest::Image { image, destination, .. } = request else { continue };
        let failed = |e| Error::wrap(format!("creating image volume {image:?}:{destination:?}"), e);
        let found = images::resolve(store, image).map_err(failed)?;
        let dir = resolve::overlays(&disk.join("rootfs")).join(format!("{PREFIX}{}", mounts.len()));
        let rootfs = store.prepare_rootfs(&found.layers, &dir, shift).map_err(failed)?;
        layers.extend(found.layers);
        mounts.push(ImageMount { destination: destination.clone(), rootfs });
    }
    Ok((mounts, layers))
}
