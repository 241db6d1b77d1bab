//! Where images are read from and written to, as Podman and Skopeo name it (containers-transports(5)).
//!
//! ```text
//! docker://NAME                a registry
//! docker-archive:PATH[:NAME]   what `docker save` writes
//! oci-archive:PATH[:NAME]      an OCI layout in a tar
//! oci:PATH[:NAME]              an OCI layout in a directory
//! dir:PATH                     manifest and blobs of one image in a directory
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The formats that are files or directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    DockerArchive,
    OciArchive,
    Oci,
    Dir,
}

/// A place with its transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A name for a registry, as typed.
    Docker(String),
    Local(Local),
}

/// Images in a file or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Local {
    pub kind: Kind,
    pub path: PathBuf,
    /// Which image of it, as typed.
    pub name: Option<String>,
}

impl Kind {
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::DockerArchive => "docker-archive",
            Self::OciArchive => "oci-archive",
            Self::Oci => "oci",
            Self::Dir => "dir",
        }
    }
}

impl Transport {
    /// Reads `TRANSPORT:WHERE`; `None` for what names no transport.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>> {
        if let Some(name) = text.strip_prefix("docker://") {
            return Ok(Some(Self::Docker(name.to_owned())));
        }
        let Some((prefix, rest)) = text.split_once(':') else { return Ok(None) };
        let kind = match prefix {
            "docker-archive" => Kind::DockerArchive,
            "oci-archive" => Kind::OciArchive,
            "oci" => Kind::Oci,
            "dir" => Kind::Dir,
            "containers-storage" => {
                return Err(refused(prefix, "it is the store of Podman, Buildah and CRI-O, which rpod does not open")
                    .hint("podman save IMAGE | rpod load"));
            }
            "docker-daemon" => {
                return Err(refused(prefix, "rpod talks to no Docker daemon").hint("docker save IMAGE | rpod load"));
            }
            "ostree" | "sif" | "tarball" | "atomic" => {
                return Err(refused(prefix, "it is none of docker://, docker-archive:, oci-archive:, oci: and dir:"));
            }
            _ => return Ok(None),
        };
        // Only a directory has no name behind it.
        let (path, name) = match rest.split_once(':').filter(|_| kind != Kind::Dir) {
            Some((path, name)) => (path, Some(name.to_owned()).filter(|name| !name.is_empty())),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(Error::new(format!("{text:?} names no path")));
        }
        Ok(Some(Self::Local(Local { kind, path: PathBuf::from(path), name })))
    }
}

fn refused(prefix: &str, why: &str) -> Error {
    Error::new(format!("the transport {prefix}: is not supported: {why}"))
}

impl Local {
    pub(crate) fn new(kind: Kind, path: &Path) -> Self {
        Self { kind, path: path.to_path_buf(), name: None }
    }

    /// Whether it is one file.
    pub(crate) fn is_archive(&self) -> bool {
        matches!(self.kind, Kind::DockerArchive | Kind::OciArchive)
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.prefix(), self.path.display())?;
        self.name.iter().try_for_each(|name| write!(f, ":{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_transports() {
        let local = |kind, path: &str, name: Option<&str>| {
            Transport::Local(Local { kind, path: path.into(), name: name.map(str::to_owned) })
        };
        for (text, wanted) in [
            ("docker://a/b:c", Transport::Docker("a/b:c".to_owned())),
            ("docker-archive:/x.tar", local(Kind::DockerArchive, "/x.tar", None)),
            ("docker-archive:x.tar:reg.example:5/a:b", local(Kind::DockerArchive, "x.tar", Some("reg.example:5/a:b"))),
            ("oci-archive:x", local(Kind::OciArchive, "x", None)),
            ("oci:/a/b:tag", local(Kind::Oci, "/a/b", Some("tag"))),
            ("oci:/a/b:", local(Kind::Oci, "/a/b", None)),
            ("dir:/a:b", local(Kind::Dir, "/a:b", None)),
        ] {
            assert_eq!(Transport::parse(text).expect(text), Some(wanted), "{text}");
        }
        for name in ["busybox", "busybox:1", "reg.example:5000/x", "localhost/oci:1"] {
            assert_eq!(Transport::parse(name).expect(name), None, "{name}");
        }
        for bad in ["containers-storage:x", "docker-daemon:x:y", "dir:", "oci::tag", "sif:x"] {
            assert!(Transport::parse(bad).is_err(), "{bad}");
        }
    }
}
