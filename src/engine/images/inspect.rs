//! `image inspect`: the fields and their order as Podman's.

use serde::Serialize;

use super::list::{Listed, listed};
use super::{Image, read_manifest};
use crate::error::Result;
use crate::image::config::{Healthcheck, History, OrderedMap, Settings};
use crate::image::digest::DiffId;
use crate::storage::Store;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inspection {
    pub id: String,
    pub digest: String,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    parent: String,
    pub comment: String,
    pub created: Option<String>,
    pub config: Settings,
    version: String,
    pub author: String,
    pub architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub os: String,
    pub size: u64,
    pub virtual_size: u64,
    graph_driver: GraphDriver,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    pub labels: Option<OrderedMap<String>>,
    annotations: serde_json::Map<String, serde_json::Value>,
    pub manifest_type: String,
    pub user: String,
    history: Vec<History>,
    names_history: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Healthcheck>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RootFs {
    #[serde(rename = "Type")]
    kind: &'static str,
    pub layers: Vec<DiffId>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    name: String,
    data: GraphData,
}

/// As overlayfs names them; an image's top layer is the upper one here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphData {
    #[serde(skip_serializing_if = "String::is_empty")]
    lower_dir: String,
    upper_dir: String,
}

pub(crate) fn inspect(store: &Store, image: &Image) -> Result<Inspection> {
    let Listed { tags, digests, size, .. } = listed(store, image)?;
    let (manifest, _) = read_manifest(store, &image.manifest)?;
    let config = &image.config;
    let diff = |layer: &DiffId| Some(store.layer(layer)?.diff().display().to_string());
    let mut dirs = image.layers.iter().rev().filter_map(diff);
    let data = GraphData { upper_dir: dirs.next().unwrap_or_default(), lower_dir: dirs.collect::<Vec<_>>().join(":") };
    let labels = &config.config.labels;
    Ok(Inspection {
        id: image.id.hex(),
        digest: image.manifest.to_string(),
        names_history: tags.clone(),
        repo_tags: tags,
        repo_digests: digests,
        parent: String::new(),
        comment: config.history.last().map(|step| step.comment.clone()).unwrap_or_default(),
        created: config.created.clone(),
        version: String::new(),
        author: config.author.clone().unwrap_or_default(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        os: config.os.clone(),
        size,
        virtual_size: size,
        graph_driver: GraphDriver { name: store.driver()?.to_string(), data },
        root_fs: RootFs { kind: "layers", layers: image.layers.clone() },
        labels: (!labels.is_empty()).then(|| labels.clone()),
        manifest_type: manifest.kind().to_owned(),
        annotations: manifest.annotations.unwrap_or_default(),
        user: config.config.user.clone(),
        history: config.history.clone(),
        healthcheck: config.config.healthcheck.clone(),
        config: config.config.clone(),
    })
}
