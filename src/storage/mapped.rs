//! Layers of an image copied into one directory with the owners that a container with another id map needs: made once per
//! image and map, shared by all containers that have both, removed with the first of its layers.
//!
//! ```text
//! data/mapped/<key>/diff          the files
//! data/mapped/<key>/mapped.json   which layers they are of
//! ```

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::staging::Staging;
use super::{Store, copy, remove};
use crate::error::{Context, Error, Result};
use crate::image::digest::DiffId;
use crate::state::file::{self, Durability};
use crate::state::paths::create_private;
use crate::userns::shift::Shift;
use crate::userns::{IdMaps, enter, owner};

const META: &str = "mapped.json";

/// `mapped.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    layers: Vec<DiffId>,
}

impl Store {
    fn mapped_dir(&self) -> PathBuf {
        self.data.join("mapped")
    }

    /// The copy of `layers` for `shift`, made now if it is not there; `diffs` are their directories, top first. For a
    /// single-threaded process.
    pub(super) fn mapped(&self, layers: &[DiffId], diffs: &[PathBuf], shift: &Shift) -> Result<PathBuf> {
        let what = || "cannot describe an id map";
        let words = serde_json::to_vec(&(layers, shift)).context(what)?;
        let key: String = Sha256::digest(&words).iter().map(|byte| format!("{byte:02x}")).collect();
        let dir = self.mapped_dir().join(&key);
        if dir.is_dir() {
            return Ok(dir.join("diff"));
        }
        create_private(&self.mapped_dir())?;
        let staging = Staging::create(&self.staging_dir(), &self.host)?;
        let made = staging.path().join(&key);
        create_private(&made.join("diff"))?;
        let bottom_first: Vec<PathBuf> = diffs.iter().rev().cloned().collect();
        enter::run(&IdMaps::for_user()?, || {
            let diff = made.join("diff");
            std::fs::set_permissions(&diff, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .context(|| format!("cannot use {}", diff.display()))?;
            let copied = copy::rootfs(&bottom_first, &diff, Some(shift));
            if copied.is_err() {
                // Only in here may all of it be removed.
                let _ = remove::path(&made);
            }
            copied
        })
        .map_err(|e| {
            let error = Error::wrap("cannot copy the image for this user namespace", e);
            match *shift == Shift::squash() {
                true => error.hint("its store belongs to somebody else; chmod -R a+rX there lets others read it, and changes no digest"),
                false => error,
            }
        })?;
        file::write_json(&made.join(META), &Meta { layers: layers.to_vec() }, Durability::Synced)?;
        match std::fs::rename(&made, &dir) {
            Ok(()) => {}
            // Another process was faster; the copies are the same.
            Err(_) if dir.is_dir() => enter::run(&IdMaps::for_user()?, || remove::path(&made))?,
            Err(e) => return Err(Error::wrap(format!("cannot create {}", dir.display()), e)),
        }
        Ok(dir.join("diff"))
    }

    /// The highest user or group id that owns a file of these layers. For a single-threaded process.
    pub(crate) fn highest_id(&self, layers: &[DiffId]) -> Result<u32> {
        let diffs: Vec<PathBuf> = self.layers(layers)?.iter().map(super::layer::Layer::diff).collect();
        enter::run(&IdMaps::for_user()?, || {
            let mut highest = 0;
            for diff in &diffs {
                highest = highest.max(owners(diff)?);
            }
            Ok(highest)
        })
    }

    /// Removes the copies of which a layer is not kept. For a single-threaded process.
    pub(super) fn remove_mapped(&self, kept: &HashSet<DiffId>) -> Result<()> {
        let entries = match std::fs::read_dir(self.mapped_dir()) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.context(|| format!("cannot read {}", self.mapped_dir().display()))?,
        };
        let whole = |dir: &Path| {
            let meta = file::read_json::<Meta>(&dir.join(META)).ok().flatten();
            meta.is_some_and(|meta| meta.layers.iter().all(|layer| kept.contains(layer)))
        };
        let garbage: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|dir| !whole(dir)).collect();
        if garbage.is_empty() {
            return Ok(());
        }
        let staging = Staging::create(&self.staging_dir(), &self.host)?;
        let mut moved = Vec::with_capacity(garbage.len());
        for dir in garbage {
            let place = staging.path().join(dir.file_name().unwrap_or_default());
            std::fs::rename(&dir, &place).context(|| format!("cannot remove {}", dir.display()))?;
            moved.push(place);
        }
        enter::run(&IdMaps::for_user()?, || moved.iter().try_for_each(|dir| remove::path(dir)))
    }
}

/// Gives directories of a container to its root.
pub(super) fn give(dirs: &[&Path], shift: &Shift) -> Result<()> {
    let owner = shift.uid(0).zip(shift.gid(0));
    let (uid, gid) = owner.ok_or_else(|| Error::new("container ID 0 cannot be mapped to a host ID"))?;
    enter::run(&IdMaps::for_user()?, || {
        dirs.iter().try_for_each(|dir| {
            owner::give(dir, uid, gid).context(|| format!("cannot give {} its owner", dir.display()))
        })
    })
}

/// The highest owner or group in a tree.
fn owners(dir: &Path) -> Result<u32> {
    use std::os::unix::fs::MetadataExt;
    let what = || format!("cannot read {}", dir.display());
    let mut highest = 0;
    for entry in std::fs::read_dir(dir).context(what)? {
        let entry = entry.context(what)?;
        let meta = entry.metadata().context(what)?;
        highest = highest.max(meta.uid()).max(meta.gid());
        if meta.is_dir() {
            highest = highest.max(owners(&entry.path())?);
        }
    }
    Ok(highest)
}
