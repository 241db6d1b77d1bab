//! What a signature of an image says ("simple signing"): which manifest, under which name. Cosign and gpg sign the same kind
//! of JSON.

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;

/// The type in signatures that gpg makes.
pub(crate) const ATOMIC: &str = "atomic container signature";
/// The type in signatures that cosign makes.
pub(crate) const COSIGN: &str = "cosign container image signature";
/// The media type of a cosign payload in a registry.
pub(crate) const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation with the signature of a payload, base64.
pub(crate) const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// More than any payload.
pub(crate) const MAX_PAYLOAD: u64 = 4 << 20;

/// What was signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payload {
    pub critical: Critical,
    #[serde(default)]
    pub optional: Option<serde_json::Value>,
}

/// Everything in it must be understood.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Critical {
    pub identity: Name,
    pub image: Signed,
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Name {
    pub docker_reference: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Signed {
    pub docker_manifest_digest: Digest,
}

impl Payload {
    /// A payload for gpg to sign.
    pub(crate) fn atomic(reference: String, digest: Digest, seconds: i64) -> Self {
        let creator = concat!("rpod ", env!("CARGO_PKG_VERSION"));
        Self {
            critical: Critical {
                identity: Name { docker_reference: reference },
                image: Signed { docker_manifest_digest: digest },
                kind: ATOMIC.to_owned(),
            },
            optional: Some(serde_json::json!({ "creator": creator, "timestamp": seconds })),
        }
    }

    /// Reads a payload whose signature has been verified, and checks that it is for one of `manifests`.
    pub(crate) fn parse(content: &[u8], kind: &str, manifests: &[Digest]) -> Result<Self> {
        let payload: Self =
            serde_json::from_slice(content).context(|| "the signed text is no simple signing payload")?;
        if payload.critical.kind != kind {
            return Err(Error::new(format!("the signature is of the type {:?}", payload.critical.kind)));
        }
        let digest = payload.critical.image.docker_manifest_digest;
        if !manifests.contains(&digest) {
            return Err(Error::new(format!("the signature is for another image, {digest}")));
        }
        Ok(payload)
    }
}
