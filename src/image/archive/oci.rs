//! The OCI image layout: index.json points into blobs/sha256/.

use super::{Archived, ArchivedLayer, Index, Name, paired};
use crate::error::{Context, Error, Result};
use crate::image::config::ImageConfig;
use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, Document, MAX_CONFIG, MAX_MANIFEST, Manifest};
use crate::image::platform::Platform;

/// The name of an image in an index: BuildKit's and containerd's full one, then the specification's.
const NAME_ANNOTATIONS: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
/// Indexes within indexes: one per tag, one per platform.
const MAX_DEPTH: usize = 3;

pub(super) fn read(index: &Index, wanted: &Platform) -> Result<Vec<Archived>> {
    let top = index.read_file("index.json", MAX_MANIFEST)?;
    let Document::Index(top) = Document::parse(&top, None).context(|| "the archive's index.json is damaged")? else {
        return Err(Error::new("the archive's index.json is not an index"));
    };
    let named = |descriptor: &Descriptor| NAME_ANNOTATIONS.iter().any(|key| descriptor.annotation(key).is_some());
    // Without names, several entries are the platforms of one image.
    if top.manifests.len() > 1 && !top.manifests.iter().any(named) && top.manifests.iter().all(|d| d.platform.is_some())
    {
        return Ok(vec![image(index, top.select(wanted)?, wanted)?]);
    }
    let mut images: Vec<Archived> = Vec::new();
    for descriptor in &top.manifests {
        let image = image(index, descriptor, wanted)?;
        // The same image under several names has an entry for each.
        match images.iter_mut().find(|other| other.manifest == image.manifest) {
            Some(other) => other.names.extend(image.names),
            None => images.push(image),
        }
    }
    if images.is_empty() {
        return Err(Error::new("the archive's index.json lists no image"));
    }
    Ok(images)
}

fn image(index: &Index, descriptor: &Descriptor, wanted: &Platform) -> Result<Archived> {
    let names = NAME_ANNOTATIONS.iter().find_map(|key| descriptor.annotation(key)).map(|n| Name::Oci(n.to_owned()));
    let (manifest_bytes, manifest) = manifest(index, descriptor, wanted)?;
    let config_bytes = blob(index, &manifest.config, MAX_CONFIG)?;
    let config = ImageConfig::parse(&config_bytes)?;
    let mut layers = Vec::new();
    for (diff_id, layer) in paired(&config, manifest.layers)? {
        let content = index.section(&path(&layer.digest))?;
        if content.len() != layer.size {
            return Err(wrong_size(&layer, content.len()));
        }
        layers.push(ArchivedLayer { diff_id, digest: Some(layer.digest), media_type: layer.media_type, content });
    }
    let names = names.into_iter().collect();
    Ok(Archived { names, config_bytes, manifest: Some(manifest_bytes), layers })
}

/// Follows indexes down to the manifest for the platform.
fn manifest(index: &Index, descriptor: &Descriptor, wanted: &Platform) -> Result<(Vec<u8>, Manifest)> {
    let mut descriptor = descriptor.clone();
    for _ in 0..MAX_DEPTH {
        let content = blob(index, &descriptor, MAX_MANIFEST)?;
        match Document::parse(&content, Some(&descriptor.media_type))? {
            Document::Image(manifest) => return Ok((content, *manifest)),
            Document::Index(inner) => descriptor = inner.select(wanted)?.clone(),
        }
    }
    Err(Error::new("the archive's indexes are nested too deeply"))
}

fn blob(index: &Index, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
    let content = index.read_file(&path(&descriptor.digest), limit)?;
    if content.len() as u64 != descriptor.size {
        return Err(wrong_size(descriptor, content.len() as u64));
    }
    let found = Digest::of(&content);
    if found != descriptor.digest {
        return Err(Error::new(format!(
            "a blob in the archive has the wrong digest: {found} instead of {}",
            descriptor.digest
        )));
    }
    Ok(content)
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn wrong_size(descriptor: &Descriptor, found: u64) -> Error {
    Error::new(format!("{} has {found} bytes in the archive instead of {}", descriptor.digest, descriptor.size))
}
