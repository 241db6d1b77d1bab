//! An image under construction.

use serde::{Deserialize, Serialize};

use super::remote_cache::Steps;
use crate::engine::images::Image;
use crate::image::config::{History, ImageConfig, RootFs, Settings};
use crate::image::digest::{DiffId, Digest};
use crate::image::platform::Platform;
use crate::storage::BuildStep;

/// What BuildKit writes as comment of its steps; tools tell by it how to read `created_by`.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// What BuildKit and Buildah give `FROM scratch`, and images that have none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Layers and settings as they are after a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    pub config: ImageConfig,
    /// Bottom first.
    pub layers: Vec<DiffId>,
    /// How many of them are the base image's.
    pub base_layers: usize,
    /// Stands for everything that made this.
    pub key: Digest,
    /// The steps that led here, by their keys.
    pub steps: Steps,
    /// The base image's name and manifest.
    pub base: Option<(String, Digest)>,
}

impl State {
    /// `FROM scratch`.
    pub(crate) fn scratch(platform: &Platform) -> Self {
        let settings =
            Settings { env: vec![format!("PATH={DEFAULT_PATH}")], working_dir: "/".to_owned(), ..Settings::default() };
        let config = ImageConfig {
            config: settings,
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
            ..ImageConfig::default()
        };
        let key = Digest::of(format!("scratch {platform}").as_bytes());
        Self { config, layers: Vec::new(), base_layers: 0, key, steps: Steps::new(), base: None }
    }

    pub(crate) fn of_image(image: &Image) -> Self {
        let name = image.name.clone().unwrap_or_else(|| image.id.to_string());
        let mut config = image.config.clone();
        if !config.config.env.iter().any(|variable| variable.starts_with("PATH=")) {
            config.config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        Self {
            config,
            layers: image.layers.clone(),
            base_layers: image.layers.len(),
            key: Digest::of(format!("image {}", image.id).as_bytes()),
            steps: Steps::new(),
            base: Some((name, image.manifest)),
        }
    }

    /// The key of the next step. Lines of the history are no key of their own: they do not tell where a word ends.
    pub(crate) fn next_key(&self, parts: &[&str]) -> Digest {
        let mut text = format!("rpod-build 2\n{}", self.key);
        for part in parts {
            text = format!("{text}\n{}:{part}", part.len());
        }
        Digest::of(text.as_bytes())
    }

    /// A step that is known by another key than its place.
    pub(crate) fn know(&mut self, key: Digest, step: &BuildStep) {
        self.steps.insert(key.to_string(), step.clone());
    }

    /// Takes a step in.
    pub(crate) fn add(&mut self, key: Digest, created_by: String, step: &BuildStep) {
        self.key = key;
        self.steps.insert(key.to_string(), step.clone());
        self.layers.extend(step.layer);
        self.config.history.push(History {
            created: Some(step.created.clone()),
            created_by,
            comment: COMMENT.to_owned(),
            empty_layer: step.layer.is_none(),
            ..History::default()
        });
        self.config.created = Some(step.created.clone());
    }

    /// What is shown of it.
    pub(crate) fn short(&self) -> String {
        self.key.hex().get(..12).unwrap_or_default().to_owned()
    }
}
