//! Content digests, `sha256:<64 lower-case hexadecimal digits>` (OCI image spec, "Digests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::state::id::hex;

/// A SHA-256 digest. Ordered and hashed by its bytes; shown with its `sha256:` prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Digest([u8; 32]);

/// The digest of a layer's uncompressed tar (OCI image spec, "Layer DiffID").
pub(crate) type DiffId = Digest;

impl Digest {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of `content`.
    pub(crate) fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The 64 hexadecimal digits, without the algorithm.
    pub(crate) fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::new(format!("{text:?} is not a sha256 digest")).hint("a digest is \"sha256:\" and 64 digits 0-9a-f")
        };
        let digits = text.strip_prefix("sha256:").ok_or_else(bad)?.as_bytes();
        if digits.len() != 64 || digits.iter().any(|d| !d.is_ascii_digit() && !(b'a'..=b'f').contains(d)) {
            return Err(bad());
        }
        let value = |d: u8| if d.is_ascii_digit() { d - b'0' } else { d - b'a' + 10 };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0]) << 4 | value(pair[1]);
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_rejection() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.to_string().parse::<Digest>().ok(), Some(digest));
        for bad in
            ["", "sha256:", "sha512:00", &"a".repeat(71), &digest.to_string().to_uppercase(), &format!("{digest}0")]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
