//! `history`: the config's history beside the layers it speaks of.

use super::{Image, layer_size, list};
use crate::error::Result;
use crate::storage::Store;

/// One step of the build, newest first.
#[derive(Debug)]
pub(crate) struct HistoryEntry {
    /// The image's id for the newest step; the images between are not kept by anybody.
    pub id: Option<String>,
    pub tags: Vec<String>,
    pub created: Option<String>,
    pub created_by: String,
    pub comment: String,
    pub size: u64,
}

pub(crate) fn history(store: &Store, image: &Image) -> Result<Vec<HistoryEntry>> {
    let mut layers = image.layers.iter();
    let mut entries = Vec::new();
    for step in &image.config.history {
        let size = match step.empty_layer {
            true => 0,
            false => match layers.next() {
                Some(layer) => layer_size(store, layer)?,
                None => 0,
            },
        };
        entries.push(HistoryEntry {
            id: None,
            tags: Vec::new(),
            created: step.created.clone(),
            created_by: step.created_by.clone(),
            comment: step.comment.clone(),
            size,
        });
    }
    // Layers that the history does not mention.
    for layer in layers {
        let size = layer_size(store, layer)?;
        let (created_by, comment) = (String::new(), String::new());
        let created = image.config.created.clone();
        entries.push(HistoryEntry { id: None, tags: Vec::new(), created, created_by, comment, size });
    }
    entries.reverse();
    if let Some(newest) = entries.first_mut() {
        newest.id = Some(image.id.hex());
        newest.tags = list::listed(store, image)?.tags;
    }
    Ok(entries)
}
