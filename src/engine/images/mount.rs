//! `image mount`: an image's files under a path, for those who may mount: root, or a session of `rpod unshare`.

use std::path::PathBuf;

use super::{Image, not_known};
use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::state::paths::{Dirs, create_private};
use crate::storage::{Store, is_mounted, unmount_layers};

/// Mounts the image, if it is not mounted yet; answers where.
pub(crate) fn mount(dirs: &Dirs, store: &Store, image: &Image) -> Result<PathBuf> {
    may_mount("mount")?;
    let place = place(dirs, &image.id.hex());
    create_private(&place)?;
    if !is_mounted(&place)
        && let Err(error) = store.mount_layers(&image.layers, &place)
    {
        // Empty, and of no use without the mount.
        let _ = std::fs::remove_dir(&place);
        return Err(error);
    }
    Ok(place)
}

/// Ends the image's mount.
pub(crate) fn unmount(dirs: &Dirs, id: &Digest) -> Result<()> {
    may_mount("unmount")?;
    let place = place(dirs, &id.hex());
    if !is_mounted(&place) {
        return Err(Error::new(format!("the image {} is not mounted", id.hex())));
    }
    unmount_layers(&place)?;
    std::fs::remove_dir(&place).context(|| format!("cannot remove {}", place.display()))
}

/// Ids and places of the images that are mounted for this process.
pub(crate) fn mounted(dirs: &Dirs) -> Result<Vec<(Digest, PathBuf)>> {
    let dir = dirs.runtime.join("images");
    let entries = match std::fs::read_dir(&dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(|| format!("cannot read {}", dir.display()))?,
    };
    let mut mounted = Vec::new();
    for entry in entries {
        let path = entry.context(|| format!("cannot read {}", dir.display()))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Ok(id) = format!("sha256:{name}").parse()
            && is_mounted(&path)
        {
            mounted.push((id, path));
        }
    }
    mounted.sort();
    Ok(mounted)
}

/// The image with that name or id, also when only its mount is left.
pub(crate) fn mounted_id(dirs: &Dirs, store: &Store, name: &str) -> Result<Digest> {
    match super::resolve(store, name) {
        Ok(image) => Ok(image.id),
        Err(error) => {
            let found = mounted(dirs)?.into_iter().find(|(id, _)| name.len() >= 12 && id.hex().starts_with(name));
            found.map(|(id, _)| id).ok_or(match error.kind() {
                crate::error::Kind::NoSuchObject => not_known(name),
                _ => error,
            })
        }
    }
}

fn place(dirs: &Dirs, id: &str) -> PathBuf {
    dirs.runtime.join("images").join(id)
}

fn may_mount(verb: &str) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Error::new(format!("cannot run \"rpod image {verb}\" as an ordinary user outside of rpod unshare"))
        .hint(format!("rpod unshare sh -c 'rpod image {verb} IMAGE; …': what is mounted there is seen only there")))
}
