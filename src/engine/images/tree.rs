//! `image tree`: an image's layers with the images that end at each of them, or the images that are built on it.

use super::space::Sizes;
use super::{Image, Listed, list};
use crate::error::Result;
use crate::image::digest::DiffId;
use crate::storage::Store;

/// One layer in the tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub layer: DiffId,
    pub size: u64,
    /// Names of the images that this is the top of.
    pub top_of: Vec<String>,
    pub above: Vec<Node>,
}

/// The image's own layers, bottom first: each is the only one above the one before.
pub(crate) fn layers(store: &Store, image: &Image) -> Result<Vec<Node>> {
    let (images, _) = list(store)?;
    let mut sizes = Sizes::default();
    let mut nodes = Vec::with_capacity(image.layers.len());
    for (at, layer) in image.layers.iter().enumerate() {
        nodes.push(Node {
            layer: *layer,
            size: sizes.of(store, layer)?,
            top_of: ending(&images, &image.layers[..=at]),
            above: Vec::new(),
        });
    }
    Ok(nodes)
}

/// The layers that other images put on top of this one.
pub(crate) fn dependents(store: &Store, image: &Image) -> Result<Vec<Node>> {
    let (images, _) = list(store)?;
    let mut sizes = Sizes::default();
    above(store, &images, &mut image.layers.clone(), &mut sizes)
}

/// The layers directly above `chain`, with what is above them in turn.
fn above(store: &Store, images: &[Listed], chain: &mut Vec<DiffId>, sizes: &mut Sizes) -> Result<Vec<Node>> {
    let mut nodes: Vec<Node> = Vec::new();
    for listed in images {
        let Some(layer) = listed.image.layers.strip_prefix(chain.as_slice()).and_then(|rest| rest.first()) else {
            continue;
        };
        if nodes.iter().any(|node| node.layer == *layer) {
            continue;
        }
        chain.push(*layer);
        let node = Node {
            layer: *layer,
            size: sizes.of(store, layer)?,
            top_of: ending(images, chain),
            above: above(store, images, chain, sizes)?,
        };
        chain.pop();
        nodes.push(node);
    }
    Ok(nodes)
}

fn ending(images: &[Listed], chain: &[DiffId]) -> Vec<String> {
    let ends = images.iter().filter(|listed| listed.image.layers == chain);
    ends.flat_map(|listed| listed.tags.iter().cloned()).collect()
}
