//! Names of images, normalised as Docker does: `alpine` is `docker.io/library/alpine:latest`.
//!
//! ```text
//! [HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST]
//! ```
//! The first component is a host when it has a `.` or `:` or is `localhost`; otherwise the host is Docker Hub.
//! A normalised name contains no `..`, no empty component and no control character, so it is safe in a path or a URL.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::image::digest::Digest;

pub(crate) const DOCKER_HUB: &str = "docker.io";
/// Where images made here live, as in Podman: nothing is pulled from or pushed to it unless asked.
pub(crate) const LOCAL_HOST: &str = "localhost";
pub(crate) const DEFAULT_TAG: &str = "latest";

const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// A normalised reference. At least one of tag and digest is set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Reference {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A reference as typed: what is missing is not filled in yet.
struct Parts<'a> {
    host: Option<&'a str>,
    path: &'a str,
    tag: Option<&'a str>,
    digest: Option<Digest>,
}

impl Reference {
    /// Normalises `name`; a name without a host belongs to Docker Hub, one without tag and digest gets `latest`.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        Self::with_default_host(name, DOCKER_HUB)
    }

    /// Like [`Reference::parse`] for images that are made here (tag, import, build): the default host is `localhost`.
    pub(crate) fn parse_local(name: &str) -> Result<Self> {
        Self::with_default_host(name, LOCAL_HOST)
    }

    /// Normalises `name` with `host` where it names none. `host` may carry a path ("registry.example/mirror").
    pub(crate) fn with_default_host(name: &str, host: &str) -> Result<Self> {
        let parts = split(name)?;
        match parts.host {
            Some(_) => Self::build(&parts, parts.host.unwrap_or_default(), parts.path),
            None => match host.split_once('/') {
                Some((host, prefix)) => Self::build(&parts, host, &format!("{prefix}/{}", parts.path)),
                None => Self::build(&parts, host, parts.path),
            },
        }
    }

    fn build(parts: &Parts<'_>, host: &str, path: &str) -> Result<Self> {
        let (host, path) = match host {
            DOCKER_HUB | "index.docker.io" if !path.contains('/') => (DOCKER_HUB, format!("library/{path}")),
            "index.docker.io" => (DOCKER_HUB, path.to_owned()),
            _ => (host, path.to_owned()),
        };
        if host.len() + 1 + path.len() > MAX_NAME {
            return Err(Error::new(format!("the image name is longer than {MAX_NAME} characters")));
        }
        let tag = match (parts.tag, parts.digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some(DEFAULT_TAG.to_owned()),
        };
        Ok(Self { host: host.to_owned(), path, tag, digest: parts.digest })
    }

    /// The registry as named by people: `docker.io`, `registry.example:5000`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The repository within the registry: `library/alpine`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Registry and path, without tag and digest.
    pub(crate) fn repository(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// The name under which the store keeps it. The digest decides when both are given, as in Podman.
    pub(crate) fn store_name(&self) -> String {
        match (&self.tag, &self.digest) {
            (_, Some(digest)) => self.pinned(digest),
            (Some(tag), None) => format!("{}/{}:{tag}", self.host, self.path),
            (None, None) => self.repository(),
        }
    }

    /// `repository@digest`, the name that keeps an image which has lost its tag.
    pub(crate) fn pinned(&self, digest: &Digest) -> String {
        format!("{}/{}@{digest}", self.host, self.path)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::parse(name)
    }
}

/// Whether `name` leaves the registry open (`alpine`, `user/app`): such names go through the short-name settings.
pub(crate) fn is_short(name: &str) -> bool {
    split(name).is_ok_and(|parts| parts.host.is_none())
}

fn split(name: &str) -> Result<Parts<'_>> {
    let bad = |why: &str| Error::new(format!("invalid image name {name:?}: {why}"));
    let (rest, digest) = match name.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|e| bad(&e.to_string()))?)),
        None => (name, None),
    };
    // A colon after the last slash starts a tag; one before it belongs to the host's port.
    let (rest, tag) = match rest.rfind(':').filter(|colon| rest.rfind('/').is_none_or(|slash| *colon > slash)) {
        Some(colon) => (&rest[..colon], Some(&rest[colon + 1..])),
        None => (rest, None),
    };
    let (host, path) = match rest.split_once('/') {
        Some((first, path)) if is_host(first) => (Some(first), path),
        _ => (None, rest),
    };
    if path.is_empty() {
        return Err(bad("it has no repository"));
    }
    if let Some(host) = host.filter(|host| !valid_host(host)) {
        return Err(bad(&format!("{host:?} is not a host name")));
    }
    if let Some(component) = path.split('/').find(|component| !valid_component(component)) {
        return Err(if component.bytes().any(|b| b.is_ascii_uppercase()) {
            bad("the repository must be lower case")
        } else {
            bad(&format!("{component:?} is not allowed in a repository"))
        });
    }
    if let Some(tag) = tag.filter(|tag| !valid_tag(tag)) {
        return Err(bad(&format!("{tag:?} is not a tag")));
    }
    if host.is_none() && path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad("64 hexadecimal digits are an image id, not a name"));
    }
    Ok(Parts { host, path, tag, digest })
}

fn is_host(component: &str) -> bool {
    component.contains(['.', ':']) || component == LOCAL_HOST || component.bytes().any(|b| b.is_ascii_uppercase())
}

fn valid_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                return port.is_empty() || port.strip_prefix(':').is_some_and(valid_port);
            }
            _ => return false,
        },
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    port.is_none_or(valid_port)
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

fn valid_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// Lower-case alphanumerics, separated by one `.`, one or two `_`, or any number of `-`.
fn valid_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

fn valid_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn normalises_like_docker() {
        for (name, full) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("alpine:3.20", "docker.io/library/alpine:3.20"),
            ("user/app", "docker.io/user/app:latest"),
            ("docker.io/alpine", "docker.io/library/alpine:latest"),
            ("index.docker.io/user/app:1", "docker.io/user/app:1"),
            ("localhost/foo", "localhost/foo:latest"),
            ("localhost:5000/foo", "localhost:5000/foo:latest"),
            ("quay.io/a/b/c:T", "quay.io/a/b/c:T"),
            ("[::1]:5000/a:x", "[::1]:5000/a:x"),
            ("a__b-c--d.e", "docker.io/library/a__b-c--d.e:latest"),
            ("HOST/a", "HOST/a:latest"),
        ] {
            let parsed = Reference::parse(name).expect(name);
            assert_eq!(parsed.to_string(), full, "{name}");
            assert_eq!(Reference::parse(full).ok(), Some(parsed), "{name}");
        }
    }

    #[test]
    fn a_digest_decides() {
        let pinned = Reference::parse(&format!("alpine@{D}")).expect("pinned");
        assert_eq!((pinned.tag(), pinned.to_string()), (None, format!("docker.io/library/alpine@{D}")));
        let both = Reference::parse(&format!("alpine:3@{D}")).expect("both");
        assert_eq!(both.to_string(), format!("docker.io/library/alpine:3@{D}"));
        assert_eq!(both.store_name(), format!("docker.io/library/alpine@{D}"));
    }

    #[test]
    fn default_hosts() {
        assert_eq!(Reference::parse_local("foo").expect("local").to_string(), "localhost/foo:latest");
        let mirrored = Reference::with_default_host("foo:1", "reg.example/lib").expect("prefixed");
        assert_eq!(mirrored.to_string(), "reg.example/lib/foo:1");
        assert!(is_short("foo/bar:1") && !is_short("localhost/foo") && !is_short("a.b/c") && !is_short(".."));
    }

    #[test]
    fn rejects() {
        let long = "a/".repeat(130) + "a";
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "Alpine",
            "a/../b",
            "..",
            ".",
            "a/./b",
            "a:",
            "a:b:c",
            "a@sha256:1",
            "a@",
            "a b",
            "a\n",
            "-a",
            "a-",
            "a_",
            "a___b",
            "a..b",
            "a:.tag",
            "a:-x",
            "host.:1/a",
            "h.example:99999/a",
            "[::zz]/a",
            "a\u{e4}",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            &long,
            "h.example/..%2f/a",
            "-x.y/a",
            "docker.io",
            "localhost:5000/",
        ] {
            // "docker.io" alone is a valid repository name of Docker Hub.
            assert_eq!(Reference::parse(bad).is_err(), bad != "docker.io", "{bad:?}");
        }
        assert!(Reference::parse(&format!("a:{}", "t".repeat(129))).is_err());
        assert!(Reference::parse(&format!("a:{}", "t".repeat(128))).is_ok());
    }
}
