//! `dir:`, Skopeo's directory: manifest.json is the manifest itself, blobs are named by their hexadecimal digests. Of an
//! index the manifests are in `<hex>.manifest.json`.

use super::{Archived, ArchivedLayer, Index, paired};
use crate::error::{Error, Result};
use crate::image::config::ImageConfig;
use crate::image::digest::Digest;
use crate::image::manifest::{Document, MAX_CONFIG, MAX_MANIFEST};
use crate::image::platform::Platform;

/// Whether manifest.json is a manifest, and not the list of a docker archive.
pub(super) fn is_one(manifest: &[u8]) -> bool {
    manifest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

pub(super) fn read(index: &Index, wanted: &Platform) -> Result<Vec<Archived>> {
    let mut bytes = index.read_file("manifest.json", MAX_MANIFEST)?;
    let manifest = match Document::parse(&bytes, None)? {
        Document::Image(manifest) => manifest,
        Document::Index(list) => {
            let chosen = list.select(wanted)?;
            bytes = index.read_file(&format!("{}.manifest.json", chosen.digest.hex()), MAX_MANIFEST)?;
            check(&bytes, &chosen.digest)?;
            match Document::parse(&bytes, Some(&chosen.media_type))? {
                Document::Image(manifest) => manifest,
                Document::Index(_) => return Err(Error::new("the index points to another index")),
            }
        }
    };
    let config_bytes = index.read_file(&manifest.config.digest.hex(), MAX_CONFIG)?;
    check(&config_bytes, &manifest.config.digest)?;
    let config = ImageConfig::parse(&config_bytes)?;
    let mut layers = Vec::new();
    for (diff_id, layer) in paired(&config, manifest.layers)? {
        let content = index.section(&layer.digest.hex())?;
        layers.push(ArchivedLayer { diff_id, digest: Some(layer.digest), media_type: layer.media_type, content });
    }
    Ok(vec![Archived { names: Vec::new(), config_bytes, manifest: Some(bytes), layers }])
}

fn check(content: &[u8], expected: &Digest) -> Result<()> {
    match Digest::of(content) {
        found if found == *expected => Ok(()),
        found => {
            Err(Error::new(format!("a file in the directory has the wrong digest: {found} instead of {expected}")))
        }
    }
}
