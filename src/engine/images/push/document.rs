//! The manifest that goes with the layers as they are at the registry.

use super::ManifestFormat;
use crate::error::Result;
use crate::image::manifest::{DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_MANIFEST};

/// Media type and bytes: the stored ones when nothing has changed.
pub(in crate::engine::images) fn manifest(
    raw: &[u8],
    manifest: &Manifest,
    layers: &[Descriptor],
    format: ManifestFormat,
) -> Result<(String, Vec<u8>)> {
    let (kind, config_kind) = match format {
        ManifestFormat::Oci => (OCI_MANIFEST, OCI_CONFIG),
        ManifestFormat::Docker => (DOCKER_MANIFEST, DOCKER_CONFIG),
    };
    let same = |(old, new): (&Descriptor, &Descriptor)| old.digest == new.digest && old.media_type == new.media_type;
    if manifest.kind() == kind && manifest.layers.iter().zip(layers).all(same) {
        return Ok((kind.to_owned(), raw.to_vec()));
    }
    let mut config = manifest.config.clone();
    if manifest.kind() != kind {
        config.media_type = config_kind.to_owned();
    }
    let mut layers = layers.to_vec();
    let mut annotations = manifest.annotations.clone();
    if format == ManifestFormat::Docker {
        // Schema 2 has none.
        layers.iter_mut().for_each(|layer| layer.annotations = None);
        annotations = None;
    }
    let written = Manifest { annotations, ..Manifest::new(kind, config, layers) };
    Ok((kind.to_owned(), written.to_bytes()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    #[test]
    fn what_did_not_change_stays_byte_for_byte() {
        let raw = br#"{ "layers":[{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":1,"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip"}],"unknown":true,
            "config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"schemaVersion":2}"#;
        let parsed: Manifest = serde_json::from_slice(raw).expect("manifest");
        let layers = parsed.layers.clone();
        let (kind, bytes) = manifest(raw, &parsed, &layers, ManifestFormat::Oci).expect("same");
        assert!(kind == OCI_MANIFEST && bytes == raw);
        let other = vec![Descriptor::new("application/vnd.oci.image.layer.v1.tar+gzip", 5, Digest::of(b"x"))];
        let (_, bytes) = manifest(raw, &parsed, &other, ManifestFormat::Oci).expect("new");
        let new: Manifest = serde_json::from_slice(&bytes).expect("manifest");
        assert_eq!((new.layers[0].digest, new.config.digest), (Digest::of(b"x"), parsed.config.digest));
        let (kind, bytes) = manifest(raw, &parsed, &other, ManifestFormat::Docker).expect("docker");
        let new: Manifest = serde_json::from_slice(&bytes).expect("manifest");
        assert_eq!((kind.as_str(), new.config.media_type.as_str()), (DOCKER_MANIFEST, DOCKER_CONFIG));
    }
}
