//! Manifests and indexes: OCI image spec 1.1 and Docker's "schema 2", which are the same but for media types.
//!
//! They come from registries and archives, so everything in them is hostile until checked: the size of the document, the number
//! of entries, digests, and documents that are a manifest and an index at once (CVE-2021-41190).

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::image::platform::Platform;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_SCHEMA1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// What to ask a registry for.
pub(crate) const ACCEPT: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX];

/// The distribution spec wants registries to take 4 MiB; nobody sends more.
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;
pub(crate) const MAX_CONFIG: u64 = 16 << 20;
/// The kernel stacks at most 500 lower directories, of which one has the mount points.
pub(crate) const MAX_LAYERS: usize = 499;
const MAX_INDEX_ENTRIES: usize = 10_000;
/// On an entry of an index whose layers are compressed with zstd, beside another of the same platform.
const ZSTD_ANNOTATION: &str = "io.github.containers.compression.zstd";

/// A pointer to a blob.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub size: u64,
    pub digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Descriptor {
    pub(crate) fn of(media_type: &str, content: &[u8]) -> Self {
        Self::new(media_type, content.len() as u64, Digest::of(content))
    }

    pub(crate) fn new(media_type: &str, size: u64, digest: Digest) -> Self {
        Self { media_type: media_type.to_owned(), size, digest, platform: None, annotations: None }
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)?.as_str()
    }
}

/// An image manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub config: Descriptor,
    /// Bottom first.
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Manifest {
    /// A manifest to be written; schema 2 when `media_type` is Docker's.
    pub(crate) fn new(media_type: &str, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: Some(media_type.to_owned()), config, layers, annotations: None }
    }

    /// The media type, also where the document leaves it out (OCI before 1.1).
    pub(crate) fn kind(&self) -> &str {
        self.media_type.as_deref().unwrap_or(OCI_MANIFEST)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).context(|| "cannot encode an image manifest")
    }
}

/// A list of manifests, one per platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub manifests: Vec<Descriptor>,
}

impl Index {
    /// The manifest for `wanted`: the closest platform, then an entry that names none, which may be for any. Of equals
    /// one that is compressed with zstd, as its annotation says, then the first: as containers/image chooses.
    /// Attestations (platform unknown/unknown) are never chosen.
    pub(crate) fn select(&self, wanted: &Platform) -> Result<&Descriptor> {
        let ranked = self.manifests.iter().enumerate().filter_map(|(i, descriptor)| {
            let rank = match &descriptor.platform {
                Some(platform) => wanted.rank(platform)?,
                None => u32::MAX,
            };
            Some((rank, descriptor.annotation(ZSTD_ANNOTATION) != Some("true"), i))
        });
        match ranked.min() {
            Some((_, _, i)) => Ok(&self.manifests[i]),
            None => Err(Error::new(format!("there is no image for platform {wanted}")).hint(self.offers())),
        }
    }

    /// What it has images for, in its order; attestations are no images.
    pub(crate) fn platforms(&self) -> Vec<Platform> {
        let mut platforms: Vec<Platform> = Vec::new();
        for platform in self.manifests.iter().filter_map(|descriptor| descriptor.platform.as_ref()) {
            if !["", "unknown"].contains(&platform.os.as_str()) && !platforms.contains(platform) {
                platforms.push(platform.clone());
            }
        }
        platforms
    }

    fn offers(&self) -> String {
        let mut names: Vec<String> = self.platforms().iter().map(ToString::to_string).collect();
        names.dedup();
        names.truncate(30);
        if names.is_empty() {
            "it names no platforms".to_owned()
        } else {
            format!("it is made for {}", names.join(", "))
        }
    }
}

/// What a manifest document turned out to be.
#[derive(Debug, Clone)]
pub(crate) enum Document {
    Image(Box<Manifest>),
    Index(Index),
}

/// The members that decide what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u32>,
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// The type it has, or is taken for.
    pub(crate) fn media_type(&self) -> &str {
        match self {
            Self::Image(manifest) => manifest.kind(),
            Self::Index(index) => index.media_type.as_deref().unwrap_or(OCI_INDEX),
        }
    }

    /// Checks and reads a document whose digest has been verified. `content_type` is what the sender called it.
    pub(crate) fn parse(content: &[u8], content_type: Option<&str>) -> Result<Self> {
        let probe: Probe = serde_json::from_slice(content).context(|| "not an image manifest")?;
        let content_type = content_type.map(|t| t.split(';').next().unwrap_or(t).trim());
        if probe.fs_layers.is_some()
            || probe.schema_version == Some(1)
            || content_type.is_some_and(|t| DOCKER_SCHEMA1.contains(&t))
        {
            return Err(Error::new("the image has a manifest of Docker's schema 1, which nobody makes since 2017")
                .hint("convert it: skopeo copy --format oci docker://IMAGE docker://NEW-IMAGE"));
        }
        if probe.schema_version != Some(2) {
            return Err(Error::new("not an image manifest: its schemaVersion is not 2"));
        }
        let is_index = probe.manifests.is_some();
        if is_index && (probe.layers.is_some() || probe.config.is_some()) {
            return Err(Error::new("the manifest is an image and an index at once"));
        }
        for named in [probe.media_type.as_deref(), content_type].into_iter().flatten() {
            let says_index = match named {
                OCI_INDEX | DOCKER_INDEX => true,
                OCI_MANIFEST | DOCKER_MANIFEST => false,
                // Registries send application/json or text/plain for what they do not know.
                _ => continue,
            };
            if says_index != is_index {
                return Err(Error::new(format!("the manifest is called {named} but is something else")));
            }
        }
        if is_index { Self::parse_index(content) } else { Self::parse_image(content) }
    }

    fn parse_index(content: &[u8]) -> Result<Self> {
        let index: Index = serde_json::from_slice(content).context(|| "the image index is damaged")?;
        if index.manifests.len() > MAX_INDEX_ENTRIES {
            return Err(Error::new(format!("the image index has more than {MAX_INDEX_ENTRIES} entries")));
        }
        Ok(Self::Index(index))
    }

    fn parse_image(content: &[u8]) -> Result<Self> {
        let manifest: Manifest = serde_json::from_slice(content).context(|| "the image manifest is damaged")?;
        if manifest.layers.len() > MAX_LAYERS {
            return Err(Error::new(format!("the image has more than {MAX_LAYERS} layers")));
        }
        if manifest.config.size > MAX_CONFIG {
            return Err(Error::new(format!("the image's config is larger than {} MiB", MAX_CONFIG >> 20)));
        }
        let total = manifest.layers.iter().try_fold(0u64, |sum, layer| sum.checked_add(layer.size));
        if total.is_none_or(|total| total > 1 << 50) {
            return Err(Error::new("the image manifest claims impossible layer sizes"));
        }
        Ok(Self::Image(Box::new(manifest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor(size: &str) -> String {
        format!(r#"{{"mediaType":"x","size":{size},"digest":"{D}"}}"#)
    }

    #[test]
    fn reads_both_kinds() {
        let image = format!(r#"{{"schemaVersion":2,"config":{0},"layers":[{0}]}}"#, descriptor("1"));
        assert!(matches!(Document::parse(image.as_bytes(), Some("application/json")), Ok(Document::Image(_))));
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor("1"));
        assert!(matches!(
            Document::parse(index.as_bytes(), Some("application/vnd.oci.image.index.v1+json; charset=utf-8")),
            Ok(Document::Index(_))
        ));
    }

    #[test]
    fn refuses_what_lies() {
        let one = descriptor("1");
        let many = vec![one.clone(); MAX_LAYERS + 1].join(",");
        for (bad, content_type) in [
            (String::new(), None),
            ("[]".to_owned(), None),
            (r#"{"schemaVersion":2}"#.to_owned(), None),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(), None),
            (format!(r#"{{"schemaVersion":2,"config":{one},"layers":[],"manifests":[]}}"#), None),
            (format!(r#"{{"schemaVersion":2,"config":{one},"layers":[]}}"#), Some(OCI_INDEX)),
            (format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","manifests":[]}}"#), None),
            (format!(r#"{{"schemaVersion":2,"config":{one},"layers":[{many}]}}"#), None),
            (format!(r#"{{"schemaVersion":2,"config":{one},"layers":[{}]}}"#, descriptor("-1")), None),
            (
                format!(
                    r#"{{"schemaVersion":2,"config":{one},"layers":[{0},{0}]}}"#,
                    descriptor("18446744073709551615")
                ),
                None,
            ),
            (format!(r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#, descriptor("999999999")), None),
        ] {
            assert!(Document::parse(bad.as_bytes(), content_type).is_err(), "{bad:.200}");
        }
    }

    #[test]
    fn selects_a_platform() {
        let entry = |platform: &str| {
            let (os, arch) = platform.split_once('/').expect("platform");
            format!(r#"{{"mediaType":"x","size":1,"digest":"{D}","platform":{{"os":"{os}","architecture":"{arch}"}}}}"#)
        };
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{}]}}"#,
            entry("unknown/unknown"),
            entry("linux/arm64"),
            entry("linux/amd64")
        );
        let Ok(Document::Index(index)) = Document::parse(text.as_bytes(), None) else { panic!("an index") };
        let chosen = index.select(&Platform::parse("linux/arm64").expect("platform")).expect("chosen");
        assert_eq!(chosen.platform.as_ref().map(ToString::to_string).as_deref(), Some("linux/arm64"));
        let error = index.select(&Platform::parse("linux/s390x").expect("platform")).expect_err("none");
        assert_eq!(error.hints(), ["it is made for linux/arm64, linux/amd64"]);
    }
}
