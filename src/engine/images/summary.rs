//! What listings tell of images, remembered beside the documents that it was read from: hundreds of images are listed without
//! opening any of theirs.
//!
//! All of it follows from a manifest's digest or a layer's, so it never gets old. The file (`summaries.json`) is only a cache: one
//! that is lost, damaged or cannot be written costs time and nothing else.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Image, layer_size};
use crate::error::Result;
use crate::image::config::OrderedMap;
use crate::image::digest::{DiffId, Digest};
use crate::storage::Store;

/// An image as listings need it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The config's digest.
    pub id: Digest,
    pub manifest: Digest,
    /// 1970 for images without a date.
    pub created: Timestamp,
    #[serde(default, skip_serializing_if = "OrderedMap::is_empty")]
    pub labels: OrderedMap<String>,
    /// Bottom first.
    pub layers: Vec<DiffId>,
    /// Bytes of manifest and config.
    documents: u64,
}

impl Summary {
    /// Reads manifest and config.
    pub(super) fn read(store: &Store, manifest: Digest) -> Result<Self> {
        let (image, documents) = Image::read_sized(store, manifest)?;
        Ok(Self { documents, ..Self::of(&image) })
    }

    /// Of an image that has been read already.
    pub(super) fn of(image: &Image) -> Self {
        Self {
            id: image.id,
            manifest: image.manifest,
            created: image.created(),
            labels: image.config.config.labels.clone(),
            layers: image.layers.clone(),
            documents: 0,
        }
    }

    /// A manifest list: a document by itself.
    pub(super) fn of_list(digest: Digest, changed: Timestamp, documents: u64) -> Self {
        let labels = OrderedMap::default();
        Self { id: digest, manifest: digest, created: changed, labels, layers: Vec::new(), documents }
    }
}

/// `summaries.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    images: Vec<Summary>,
    /// Bytes of the layers' tars.
    layers: BTreeMap<DiffId, u64>,
}

/// What is remembered, and what was asked for.
pub(super) struct Summaries<'a> {
    store: &'a Store,
    images: HashMap<Digest, Summary>,
    layers: BTreeMap<DiffId, u64>,
    /// The documents in the user's own store, sorted.
    documents: Vec<Digest>,
    asked: File,
    is_new: bool,
}

impl<'a> Summaries<'a> {
    pub(super) fn open(store: &'a Store) -> Result<Self> {
        let File { images, layers } = store.summaries().unwrap_or_default();
        let images = images.into_iter().map(|summary| (summary.manifest, summary)).collect();
        let documents = store.list_blobs()?;
        Ok(Self { store, images, layers, documents, asked: File::default(), is_new: false })
    }

    /// The image with that manifest.
    ///
    /// # Errors
    /// When its documents are not there, or were not remembered and are damaged.
    pub(super) fn image(&mut self, manifest: Digest) -> Result<Summary> {
        let is_here = |digest: &Digest| self.documents.binary_search(digest).is_ok();
        let known = self.images.remove(&manifest).filter(|known| is_here(&manifest) && is_here(&known.id));
        self.is_new |= known.is_none();
        let summary = match known {
            Some(known) => known,
            None => Summary::read(self.store, manifest)?,
        };
        self.asked.images.push(summary.clone());
        Ok(summary)
    }

    /// Bytes of everything that the image consists of, each layer once.
    pub(super) fn size(&mut self, image: &Summary) -> Result<u64> {
        let mut layers: Vec<&DiffId> = image.layers.iter().collect();
        layers.sort();
        layers.dedup();
        layers.into_iter().try_fold(image.documents, |sum, layer| Ok(sum.saturating_add(self.layer(layer)?)))
    }

    fn layer(&mut self, layer: &DiffId) -> Result<u64> {
        if let Some(size) = self.asked.layers.get(layer) {
            return Ok(*size);
        }
        let known = self.layers.remove(layer).filter(|_| self.store.layer(layer).is_some());
        self.is_new |= known.is_none();
        let size = known.map_or_else(|| layer_size(self.store, layer), Ok)?;
        self.asked.layers.insert(*layer, size);
        Ok(size)
    }

    /// Remembers what was asked for, and forgets everything else.
    pub(super) fn keep(self) {
        if self.is_new {
            // A layer that is missing may come back.
            let layers = self.asked.layers.into_iter().filter(|(_, size)| *size > 0).collect();
            self.store.keep_summaries(&File { layers, ..self.asked });
        }
    }
}
