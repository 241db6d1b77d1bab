//! What a layer may cost before unpacking it is refused. Images come from strangers: a few kilobytes can decompress to
//! petabytes, or to more files than the file system has inodes.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Environment variables that replace the defaults of [`Limits`].
pub(crate) const ENV_MAX_BYTES: &str = "RPOD_MAX_LAYER_BYTES";
pub(crate) const ENV_MAX_ENTRIES: &str = "RPOD_MAX_LAYER_ENTRIES";
pub(crate) const ENV_MAX_RATIO: &str = "RPOD_MAX_LAYER_RATIO";

/// Limits of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Bytes of the uncompressed tar.
    pub bytes: u64,
    /// Entries of the tar.
    pub entries: u64,
    /// Uncompressed bytes per compressed byte, looked at from [`RATIO_FROM`] on.
    pub ratio: u64,
}

/// Real layers of some size reach 10; a small one of zeros may reach what gzip can do (1030) and harms nobody.
const RATIO_FROM: u64 = 1 << 30;

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 256 << 30, entries: 3_000_000, ratio: 100 }
    }
}

impl Limits {
    /// The defaults, changed by the environment.
    pub(crate) fn from_env() -> Result<Self> {
        let default = Self::default();
        Ok(Self {
            bytes: number(ENV_MAX_BYTES, default.bytes)?,
            entries: number(ENV_MAX_ENTRIES, default.entries)?,
            ratio: number(ENV_MAX_RATIO, default.ratio)?,
        })
    }

    /// After `unpacked` bytes came out of `received`.
    pub(super) fn check_bytes(&self, unpacked: u64, received: u64) -> Result<()> {
        if unpacked > self.bytes {
            return Err(exceeded(format!("the layer is larger than {} bytes", self.bytes), ENV_MAX_BYTES));
        }
        if unpacked > RATIO_FROM && unpacked / self.ratio.max(1) > received {
            let why = format!("{received} bytes of the layer decompress to more than {unpacked}, as in a bomb");
            return Err(exceeded(format!("{why} (allowed: {} times)", self.ratio), ENV_MAX_RATIO));
        }
        Ok(())
    }

    pub(super) fn check_entries(&self, entries: u64) -> Result<()> {
        if entries > self.entries {
            return Err(exceeded(format!("the layer has more than {} entries", self.entries), ENV_MAX_ENTRIES));
        }
        Ok(())
    }
}

fn exceeded(what: String, variable: &str) -> Error {
    Error::new(what).hint(format!("if you trust the image, set {variable} to a larger number"))
}

fn number(variable: &str, default: u64) -> Result<u64> {
    match std::env::var_os(variable).filter(|v| !v.is_empty()) {
        None => Ok(default),
        Some(value) => value
            .to_str()
            .and_then(|v| v.parse().ok())
            .ok_or_else(|| Error::new(format!("{variable} is not a number: {}", value.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_are_told_from_layers_of_zeros() {
        let limits = Limits { bytes: 8 << 30, ..Limits::default() };
        assert!(limits.check_bytes(900 << 20, 1 << 20).is_ok());
        assert!(limits.check_bytes(2 << 30, 200 << 20).is_ok());
        assert!(limits.check_bytes(2 << 30, 2 << 20).is_err());
        assert!(limits.check_bytes((8 << 30) + 1, 8 << 30).is_err());
    }
}
