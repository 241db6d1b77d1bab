//! `docker save`'s format: manifest.json lists images with their tags, config and layers by file name.

use serde::Deserialize;

use super::{Archived, ArchivedLayer, Index, Name, paired};
use crate::error::{Context, Result};
use crate::image::config::ImageConfig;
use crate::image::manifest::{DOCKER_LAYER, MAX_CONFIG, MAX_MANIFEST};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

pub(super) fn read(index: &Index) -> Result<Vec<Archived>> {
    let list = index.read_file("manifest.json", MAX_MANIFEST)?;
    let items: Vec<Item> = serde_json::from_slice(&list).context(|| "the archive's manifest.json is damaged")?;
    items.into_iter().map(|item| image(index, item)).collect()
}

fn image(index: &Index, item: Item) -> Result<Archived> {
    let config_bytes = index.read_file(&item.config, MAX_CONFIG)?;
    let config = ImageConfig::parse(&config_bytes)?;
    let mut layers = Vec::new();
    for (diff_id, file) in paired(&config, item.layers.unwrap_or_default())? {
        let content = index.section(&file)?;
        layers.push(ArchivedLayer { diff_id, digest: None, media_type: DOCKER_LAYER.to_owned(), content });
    }
    let names = item.repo_tags.unwrap_or_default().into_iter().map(Name::Docker).collect();
    Ok(Archived { names, config_bytes, manifest: None, layers })
}
