//! Platforms, `os/architecture[/variant]`, in the spellings of the OCI image spec (Go's GOOS and GOARCH).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Those of Go that Linux runs on.
const ARCHITECTURES: [&str; 14] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x", "wasm",
];

/// A platform as an index or a config names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
}

impl Platform {
    /// What this machine runs.
    pub(crate) fn host() -> Self {
        let (architecture, variant) = normalise(std::env::consts::ARCH, None);
        Self { architecture, os: "linux".to_owned(), variant, os_version: None }
    }

    /// Parses `--platform`: `linux/arm64`, `linux/arm/v7`, `arm64`, `linux`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let bad = || {
            Error::new(format!("invalid platform {text:?}"))
                .hint("a platform is os/architecture or os/architecture/variant, such as linux/arm64 or linux/arm/v7")
        };
        let fields: Vec<&str> = text.split('/').collect();
        let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if fields.len() > 3 || !fields.iter().all(|field| plain(field)) {
            return Err(bad());
        }
        let host = Self::host();
        let (os, architecture, variant) = match fields[..] {
            ["linux" | "windows" | "freebsd" | "darwin"] => {
                (fields[0], host.architecture.as_str(), host.variant.as_deref())
            }
            [architecture] => ("linux", architecture, None),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(bad()),
        };
        let (architecture, variant) = normalise(&architecture.to_ascii_lowercase(), variant);
        // A single word must be something that is known; with a system in front of it, anything goes.
        if fields.len() == 1 && !ARCHITECTURES.contains(&architecture.as_str()) {
            return Err(bad());
        }
        Ok(Self { architecture, os: os.to_ascii_lowercase(), variant, os_version: None })
    }

    /// Whether an image that is here is the one asked for: of the system and architecture, and of the very variant where
    /// the architecture has any.
    pub(crate) fn is_met_by(&self, image: &Self) -> bool {
        let (architecture, variant) = normalise(&image.architecture, image.variant.as_deref());
        self.os == image.os && self.architecture == architecture && (self.variant.is_none() || self.variant == variant)
    }

    /// How well `offered` serves a request for `self`: smaller is better, `None` not at all.
    pub(crate) fn rank(&self, offered: &Self) -> Option<u32> {
        let (architecture, variant) = normalise(&offered.architecture, offered.variant.as_deref());
        if self.os != offered.os || self.architecture != architecture {
            return None;
        }
        match (level(&architecture, self.variant.as_deref()), level(&architecture, variant.as_deref())) {
            (Some(wanted), Some(have)) if have <= wanted => Some(wanted - have),
            (Some(_), Some(_)) => None,
            _ if self.variant == variant => Some(0),
            // A variant nobody has heard of: only as a last resort.
            _ if self.variant.is_none() => Some(1000),
            _ => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// The names that are in use for the same thing; the default variant of an architecture is left out.
fn normalise(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let variant = variant.filter(|v| !v.is_empty());
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", v) => ("amd64", v.filter(|v| *v != "v1")),
        ("aarch64" | "arm64", v) => ("arm64", v.filter(|v| !matches!(*v, "8" | "v8" | "v8.0"))),
        ("armhf", _) => ("arm", Some("v7")),
        ("armel", _) => ("arm", Some("v6")),
        ("arm", None | Some("7")) => ("arm", Some("v7")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("arm", Some("6")) => ("arm", Some("v6")),
        ("arm", Some("8")) => ("arm", Some("v8")),
        ("i386" | "i486" | "i586" | "i686" | "x86" | "386", v) => ("386", v),
        ("powerpc64le" | "ppc64el" | "ppc64le", v) => ("ppc64le", v),
        ("loongarch64" | "loong64", v) => ("loong64", v),
        (other, v) => (other, v),
    };
    (architecture.to_owned(), variant.map(str::to_owned))
}

/// The place of a variant among those that include each other (armv7 runs armv6, x86-64-v2 runs v1).
fn level(architecture: &str, variant: Option<&str>) -> Option<u32> {
    match (architecture, variant) {
        ("amd64", None) => Some(1),
        ("arm64", None) => Some(8),
        ("amd64" | "arm" | "arm64", Some(v)) => v.strip_prefix('v')?.split('.').next()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(wanted: &str, offered: &[&str]) -> Option<usize> {
        let wanted = Platform::parse(wanted).expect("wanted");
        let offers = offered.iter().enumerate();
        offers
            .filter_map(|(i, text)| Some((wanted.rank(&Platform::parse(text).expect("offered"))?, i)))
            .min()
            .map(|(_, i)| i)
    }

    #[test]
    fn chooses_the_closest() {
        assert_eq!(best("linux/amd64", &["linux/arm64", "linux/amd64"]), Some(1));
        assert_eq!(best("linux/amd64", &["linux/amd64/v3", "linux/amd64"]), Some(1));
        assert_eq!(best("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"]), Some(1));
        assert_eq!(best("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6"]), Some(1));
        assert_eq!(best("linux/arm/v6", &["linux/arm/v7"]), None);
        assert_eq!(best("linux/arm64", &["linux/arm64/v8"]), Some(0));
        assert_eq!(best("aarch64", &["linux/arm64"]), Some(0));
        assert_eq!(best("linux/amd64", &["windows/amd64"]), None);
        assert_eq!(best("linux/riscv64", &["linux/riscv64"]), Some(0));
    }

    /// As Podman 5.4.2 answers for images of each variant.
    #[test]
    fn an_image_here_has_the_very_variant() {
        let is_met = |wanted: &str, here: &str| {
            let (wanted, here) = (Platform::parse(wanted).expect("wanted"), Platform::parse(here).expect("here"));
            wanted.is_met_by(&here)
        };
        for (wanted, here, expected) in [
            ("linux/arm", "linux/arm/v6", false),
            ("linux/arm", "linux/arm/v7", true),
            ("linux/arm/v6", "linux/arm/v6", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm/v8", "linux/arm/v7", false),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64/v9", "linux/arm64", false),
            ("linux/amd64", "linux/amd64/v2", true),
            ("linux/amd64/v1", "linux/amd64", true),
            ("linux/amd64/v2", "linux/amd64/v2", true),
            ("linux/amd64/v2", "linux/amd64", false),
            ("linux/amd64/v3", "linux/amd64/v2", false),
            ("linux/amd64", "windows/amd64", false),
            ("linux/riscv64", "linux/riscv64", true),
        ] {
            assert_eq!(is_met(wanted, here), expected, "{wanted}: {here}");
        }
    }

    #[test]
    fn parses() {
        assert_eq!(Platform::parse("linux/x86_64").expect("alias").to_string(), "linux/amd64");
        assert_eq!(Platform::parse("linux/arm").expect("default variant").to_string(), "linux/arm/v7");
        assert_eq!(Platform::parse("linux").expect("os only"), Platform::host());
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/arm 64"] {
            assert!(Platform::parse(bad).is_err(), "{bad}");
        }
    }
}
