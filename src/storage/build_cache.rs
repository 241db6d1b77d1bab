//! `build-cache/steps/<key>`: what a build step made, under a key that stands for everything that went into it. Each
//! file is one small JSON document; its layer is kept as long as the file is. Losing it costs time, nothing else.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Store;
use crate::error::{Context, Error, Result};
use crate::image::digest::{DiffId, Digest};
use crate::state::file::{self, Durability};
use crate::state::paths::create_private;

/// What a step made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuildStep {
    /// `None`: it changed no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<DiffId>,
    /// RFC 3339; the same image has the same times when it is built again.
    pub created: String,
}

impl Store {
    /// What is known of `key`; `None` also when its layer has gone.
    pub(crate) fn build_step(&self, key: &Digest) -> Option<BuildStep> {
        let step: BuildStep = file::read_json(&self.steps_dir().join(key.hex())).ok().flatten()?;
        step.layer.is_none_or(|layer| self.layer(&layer).is_some()).then_some(step)
    }

    pub(crate) fn put_build_step(&self, key: &Digest, step: &BuildStep) -> Result<()> {
        let dir = self.steps_dir();
        create_private(&dir)?;
        file::write_json(&dir.join(key.hex()), step, Durability::Volatile)
    }

    /// Every step that is known. One that cannot be read counts as unknown.
    pub(crate) fn build_steps(&self) -> Result<Vec<(Digest, BuildStep)>> {
        let dir = self.steps_dir();
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::wrap(format!("cannot read {}", dir.display()), e)),
        };
        let mut steps = Vec::new();
        for entry in entries {
            let name = entry.context(|| format!("cannot read {}", dir.display()))?.file_name();
            let key = name.to_str().and_then(|name| format!("sha256:{name}").parse::<Digest>().ok());
            if let Some(key) = key
                && let Ok(Some(step)) = file::read_json(&dir.join(key.hex()))
            {
                steps.push((key, step));
            }
        }
        Ok(steps)
    }

    /// Every step with the time when it was done, the oldest first. What it says of itself is what the image says, which
    /// `--timestamp` may have set.
    pub(crate) fn build_steps_by_age(&self) -> Result<Vec<(jiff::Timestamp, Digest, BuildStep)>> {
        let mut steps = Vec::new();
        for (key, step) in self.build_steps()? {
            let made = std::fs::metadata(self.steps_dir().join(key.hex())).and_then(|meta| meta.modified());
            if let Some(made) = made.ok().and_then(|time| jiff::Timestamp::try_from(time).ok()) {
                steps.push((made, key, step));
            }
        }
        steps.sort_by_key(|(made, key, _)| (*made, key.to_string()));
        Ok(steps)
    }

    /// Its layer goes when the caller collects garbage.
    pub(crate) fn forget_build_step(&self, key: &Digest) -> Result<()> {
        super::remove::path(&self.steps_dir().join(key.hex()))
    }

    /// Forgets every step, and the digests of what was copied; layers go when the caller collects garbage.
    pub(crate) fn forget_build_steps(&self) -> Result<u64> {
        let count = self.build_steps()?.len() as u64;
        for dir in [self.steps_dir(), self.build_cache_dir().join("contexts"), self.build_cache_dir().join("contents")]
        {
            super::remove::path(&dir)?;
        }
        Ok(count)
    }

    /// Where builds keep what makes the next one faster.
    pub(crate) fn build_cache_dir(&self) -> PathBuf {
        self.data.join("build-cache")
    }

    fn steps_dir(&self) -> PathBuf {
        self.build_cache_dir().join("steps")
    }
}
