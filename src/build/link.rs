//! COPY and ADD with `--link`: a layer that depends on nothing below it, so that another base leaves it as it is.
//!
//! It holds the directories that lead to the destination. Where the image has these with an owner or a mode of their own
//! (`/tmp`), a layer that does not know would take them away, and the copy is made as without the flag.

use std::os::unix::fs::MetadataExt;

use super::dockerfile::instruction::Transfer;
use super::stage::Stage;
use crate::error::{Context, Result};
use crate::image::digest::Digest;
use crate::storage::{LayerView, Place};

/// What the layer is known by, whatever is below it.
pub(crate) fn key(parts: &[&str]) -> Digest {
    let parts = parts.iter().map(|part| format!("\n{}:{part}", part.len()));
    Digest::of(parts.fold("rpod-build link 1".to_owned(), |text, part| text + &part).as_bytes())
}

impl Stage<'_> {
    /// Whether the layer of this instruction can be made without the image below it.
    pub(crate) fn is_independent(&self, transfer: &Transfer, destination: &str) -> Result<bool> {
        // Names are those of the image's accounts.
        if let Some(owner) = &transfer.chown
            && self.expand(owner)?.split(':').any(|id| id.parse::<u32>().is_err())
        {
            return Ok(false);
        }
        let layers = self.build.store.layers(&self.state.layers)?;
        let view = LayerView::new(&layers.iter().rev().map(crate::storage::Layer::diff).collect::<Vec<_>>())?;
        let mut path = String::new();
        for name in destination.split('/').filter(|name| !name.is_empty()) {
            path = format!("{path}/{name}");
            match view.locate(&path) {
                Ok(Some(Place::Directory(found))) => {
                    let Some(top) = found.first() else { return Ok(true) };
                    // Behind a link: it is replaced, as Docker's reference says.
                    if !top.ends_with(path.trim_start_matches('/')) {
                        return Ok(true);
                    }
                    let meta = std::fs::symlink_metadata(top).context(|| format!("cannot read {}", top.display()))?;
                    let root = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
                    if meta.mode() & 0o7777 != 0o755 || (meta.uid(), meta.gid()) != root {
                        return Ok(false);
                    }
                }
                // A directory that only its owner may enter.
                Err(_) => return Ok(false),
                Ok(_) => return Ok(true),
            }
        }
        Ok(true)
    }
}
