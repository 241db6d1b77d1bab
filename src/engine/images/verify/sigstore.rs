//! Signatures made by cosign with a key: an OCI image at `sha256-<digest>.sig` in the same repository, whose layers are signed
//! payloads (cosign's "signature specification").

use base64::Engine;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::check_name;
use crate::config::policy::Keys;
use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::image::manifest::Document;
use crate::image::reference::Reference;
use crate::image::signature::{COSIGN, MAX_PAYLOAD, Payload, SIGNATURE_ANNOTATION, SIMPLE_SIGNING};
use crate::registry::Registry;

/// More signatures of one image are not looked at.
const MOST_SIGNATURES: usize = 64;

pub(super) struct Signature {
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// The signatures that the repository has for any of `manifests`.
pub(super) async fn signatures(registry: &Registry, manifests: &[Digest]) -> Result<Vec<Signature>> {
    let mut found = Vec::new();
    for digest in manifests {
        let tag = format!("sha256-{}.sig", digest.hex());
        let what = || format!("cannot fetch the signatures of {digest}");
        let Some(fetched) = registry.manifest_at(&tag).await.context(what)? else { continue };
        let document = Document::parse(&fetched.content, fetched.content_type.as_deref()).context(what)?;
        let Document::Image(image) = document else { continue };
        for layer in image.layers.iter().filter(|layer| layer.media_type == SIMPLE_SIGNING).take(MOST_SIGNATURES) {
            let Some(text) = layer.annotation(SIGNATURE_ANNOTATION) else { continue };
            let Ok(signature) = base64::engine::general_purpose::STANDARD.decode(text) else { continue };
            let payload = registry.small_blob(layer, MAX_PAYLOAD).await.context(what)?;
            found.push(Signature { payload, signature });
        }
    }
    Ok(found)
}

pub(super) fn check(signature: &Signature, keys: &Keys, reference: &Reference, manifests: &[Digest]) -> Result<()> {
    let mut is_signed = false;
    for key in keys.read()? {
        is_signed |= PublicKey::parse(&key)?.verifies(&signature.payload, &signature.signature);
    }
    if !is_signed {
        return Err(Error::new("the signature was not made with the key that is needed"));
    }
    let payload = Payload::parse(&signature.payload, COSIGN, manifests)?;
    check_name(keys, reference, &payload.critical.identity.docker_reference)
}

struct PublicKey {
    algorithm: &'static dyn VerificationAlgorithm,
    key: Vec<u8>,
}

impl PublicKey {
    /// A PEM file with a SubjectPublicKeyInfo (RFC 5280): ECDSA on P-256 or P-384, RSA, or Ed25519.
    fn parse(pem: &[u8]) -> Result<Self> {
        let bad = || {
            Error::new("a key of the signature policy is not a public key in PEM").hint("cosign public-key prints one")
        };
        let text = std::str::from_utf8(pem).map_err(|_| bad())?;
        let body = text.split_once("-----BEGIN PUBLIC KEY-----").and_then(|(_, rest)| rest.split_once("-----END"));
        let body: String = body.ok_or_else(bad)?.0.split_whitespace().collect();
        let der = base64::engine::general_purpose::STANDARD.decode(body).map_err(|_| bad())?;
        let (info, _) = element(&der, 0x30).ok_or_else(bad)?;
        let (algorithm, rest) = element(info, 0x30).ok_or_else(bad)?;
        let (oid, parameters) = element(algorithm, 0x06).ok_or_else(bad)?;
        let (bits, _) = element(rest, 0x03).ok_or_else(bad)?;
        // The first byte counts unused bits.
        let key = bits.strip_prefix(&[0]).ok_or_else(bad)?.to_vec();
        let curve = element(parameters, 0x06).map(|(curve, _)| curve);
        let algorithm: &'static dyn VerificationAlgorithm = match (oid, curve) {
            (EC, Some(P256)) => &ECDSA_P256_SHA256_ASN1,
            (EC, Some(P384)) => &ECDSA_P384_SHA256_ASN1,
            (RSA, _) => &RSA_PKCS1_2048_8192_SHA256,
            (EDWARDS, _) => &ED25519,
            _ => {
                return Err(Error::new("a key of the signature policy is of a kind that rpod does not know")
                    .hint("ECDSA on P-256 or P-384, RSA from 2048 bits and Ed25519 are known"));
            }
        };
        Ok(Self { algorithm, key })
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm, &self.key).verify(message, signature).is_ok()
    }
}

// Object identifiers, as DER has them: 1.2.840.10045.2.1, its curves, 1.2.840.113549.1.1.1, 1.3.101.112.
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EDWARDS: &[u8] = &[0x2b, 0x65, 0x70];

/// The content of a DER element with this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_keys() {
        let p256 = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";
        let key = PublicKey::parse(p256.as_bytes()).expect("key");
        assert_eq!((key.key.len(), key.verifies(b"x", b"y")), (65, false));
        for bad in [
            "",
            "-----BEGIN PUBLIC KEY-----\n%%\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END",
        ] {
            assert!(PublicKey::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
