//! How much room images take: what each of them alone takes, and what removing it would therefore free.

use std::collections::{BTreeSet, HashMap};

use super::Listed;
use crate::error::Result;
use crate::image::digest::{DiffId, Digest};
use crate::storage::Store;

/// Bytes of layers that an image has in common with other ones of `images`, by its id.
pub(crate) fn shared(store: &Store, images: &[Listed]) -> Result<HashMap<Digest, u64>> {
    let mut sizes = Sizes::default();
    let mut users: HashMap<DiffId, u32> = HashMap::new();
    for listed in images {
        for layer in distinct(listed) {
            *users.entry(*layer).or_default() += 1;
        }
    }
    let mut shared = HashMap::with_capacity(images.len());
    for listed in images {
        let mut bytes = 0u64;
        for layer in distinct(listed).into_iter().filter(|layer| users.get(layer).is_some_and(|count| *count > 1)) {
            bytes = bytes.saturating_add(sizes.of(store, layer)?);
        }
        shared.insert(listed.image.id, bytes);
    }
    Ok(shared)
}

/// An image may have the same layer twice; it is kept once.
fn distinct(listed: &Listed) -> BTreeSet<&DiffId> {
    listed.image.layers.iter().collect()
}

/// Sizes of layers, each looked up once.
#[derive(Debug, Default)]
pub(super) struct Sizes(HashMap<DiffId, u64>);

impl Sizes {
    /// As [`super::layer_size`].
    pub(super) fn of(&mut self, store: &Store, layer: &DiffId) -> Result<u64> {
        if let Some(size) = self.0.get(layer) {
            return Ok(*size);
        }
        let size = super::layer_size(store, layer)?;
        self.0.insert(*layer, size);
        Ok(size)
    }
}
