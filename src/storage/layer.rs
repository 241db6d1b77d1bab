//! Unpacked layers: `layers/<diffid>/`, complete from the moment that the directory has its name.

use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Store;
use super::lock::Lock;
use crate::error::{Context, Error, Result};
use crate::image::digest::{DiffId, Digest};
use crate::state::file::{self, Durability};

/// What is known about a layer (`layer.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerMeta {
    pub diff_id: DiffId,
    /// Bytes of the uncompressed tar.
    pub size: u64,
    pub entries: u64,
    /// Bytes of file content.
    pub unpacked_size: u64,
    /// The compressed forms that it came in.
    pub sources: Vec<Source>,
    /// What the tar has and the unpacked files have not.
    #[serde(default)]
    pub skipped: Skipped,
}

/// A compressed layer as a registry or an archive gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub digest: Digest,
    pub size: u64,
    pub media_type: String,
}

/// Counts what this user, kernel or file system could not make. `entries.zst` remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Skipped {
    /// Device nodes.
    pub devices: u64,
    /// Entries whose owner or group is not in the user's id map: they belong to root instead.
    pub owners: u64,
    /// Extended attributes.
    pub attributes: u64,
}

impl AddAssign for Skipped {
    fn add_assign(&mut self, other: Self) {
        self.devices += other.devices;
        self.owners += other.owners;
        self.attributes += other.attributes;
    }
}

/// A layer in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    dir: PathBuf,
}

impl Layer {
    pub(super) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The layer whose files are in `diff`.
    pub(super) fn of_diff(diff: &Path) -> Option<Self> {
        let dir = diff.parent().filter(|_| diff.ends_with("diff"))?;
        dir.join("entries.zst").exists().then(|| Self::at(dir.to_path_buf()))
    }

    /// All that belongs to the layer.
    pub(crate) fn directory(&self) -> PathBuf {
        self.dir.clone()
    }

    /// What is missing of it, if anything; the content of its files is not looked at.
    pub(crate) fn incomplete(&self) -> Option<String> {
        if let Err(e) = self.meta() {
            return Some(e.to_string());
        }
        ["diff", "entries.zst"]
            .into_iter()
            .find(|name| !self.dir.join(name).exists())
            .map(|name| format!("{} is missing", self.dir.join(name).display()))
    }

    /// The unpacked files.
    pub(crate) fn diff(&self) -> PathBuf {
        self.dir.join("diff")
    }

    pub(crate) fn meta(&self) -> Result<LayerMeta> {
        file::read_json(&self.meta_path())?
            .ok_or_else(|| Error::new(format!("{} is not there", self.meta_path().display())))
    }

    fn meta_path(&self) -> PathBuf {
        self.dir.join("layer.json")
    }
}

impl Store {
    /// The layer, if it is there or in an additional store.
    pub(crate) fn layer(&self, diff_id: &DiffId) -> Option<Layer> {
        let dir = self.layer_dir(diff_id);
        match rustix::fs::access(&dir, rustix::fs::Access::EXISTS) {
            Ok(()) => Some(Layer::at(dir)),
            Err(_) => self.additional.find(&Path::new("layers").join(diff_id.hex())).map(Layer::at),
        }
    }

    /// The layers of an image, bottom first.
    pub(crate) fn layers(&self, diff_ids: &[DiffId]) -> Result<Vec<Layer>> {
        diff_ids
            .iter()
            .map(|id| {
                self.layer(id).ok_or_else(|| {
                    Error::new(format!("the layer {id} is not in the store")).hint("pull or load the image again")
                })
            })
            .collect()
    }

    /// Every layer in the user's own store.
    pub(crate) fn list_layers(&self) -> Result<Vec<DiffId>> {
        let dir = self.layers_dir();
        let entries = std::fs::read_dir(&dir).context(|| format!("cannot read {}", dir.display()))?;
        let mut layers = Vec::new();
        for entry in entries {
            let name = entry.context(|| format!("cannot read {}", dir.display()))?.file_name();
            if let Some(id) = name.to_str().and_then(|name| format!("sha256:{name}").parse().ok()) {
                layers.push(id);
            }
        }
        Ok(layers)
    }

    /// Keeps other processes from fetching or unpacking the same layer meanwhile; waits for those that do. Look for the
    /// layer again once it is held.
    pub(crate) fn lock_layer(&self, diff_id: &DiffId) -> Result<Lock> {
        Lock::acquire(&self.layers_dir().join(format!("{}.lock", diff_id.hex())))
    }

    pub(super) fn layer_dir(&self, diff_id: &DiffId) -> PathBuf {
        self.layers_dir().join(diff_id.hex())
    }

    pub(super) fn layers_dir(&self) -> PathBuf {
        self.data.join("layers")
    }
}

/// Writes the `layer.json` of a layer that is not in its place yet.
pub(super) fn write_meta(dir: &Path, meta: &LayerMeta) -> Result<()> {
    // It gets on the disk with the whole layer.
    file::write_json(&dir.join("layer.json"), meta, Durability::Volatile)
}
