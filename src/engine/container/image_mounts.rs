//! `--mount type=image`: the files of another image inside a container.

use std::path::Path;

use super::options::RunOptions;
use super::options::mounts::MountRequest;
use super::record::Config;
use super::resolve::{self, ImageMount, MountKind};
use crate::engine::images;
use crate::error::{Error, Result};
use crate::image::digest::DiffId;
use crate::storage::{IdShift, Store};

/// What their directories are called.
const PREFIX: &str = "image-";

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

/// Makes what a container that was made from another mounts: where layers are copied, its configuration names directories
/// that are not there yet.
pub(super) fn repeat(store: &Store, config: &Config, shift: &IdShift) -> Result<()> {
    for mount in config.mounts.iter().filter(|mount| mount.kind == MountKind::Image) {
        let mut planned = config.spec.mounts().iter().flatten();
        let planned = planned.find(|planned| planned.destination() == Path::new(&mount.destination));
        let source = planned.and_then(|planned| planned.source().as_deref());
        let Some(dir) = source.into_iter().flat_map(Path::ancestors).find(|dir| is_one(dir)) else { continue };
        let image = images::resolve(store, &mount.source.to_string_lossy())?;
        store.prepare_rootfs(&image.layers, dir, shift)?;
    }
    Ok(())
}

/// Whether a directory is that of an image mount.
pub(super) fn is_one(directory: &Path) -> bool {
    directory.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
}
