//! `-v`, `--mount`, `--tmpfs` and `--volumes-from` as typed → [`MountRequest`].
//!
//! ```text
//! volume  -v                         words   options that both of them have
//! mount   --mount, and glob          memory  tmpfs, ramfs and devpts        from  --volumes-from
//! ```

mod from;
mod glob;
mod memory;
mod mount;
mod volume;
mod words;

use std::path::PathBuf;

pub(crate) use from::{VolumesFrom, volumes_from};
pub(crate) use memory::{default_tmpfs_options, tmpfs_options};
pub(crate) use words::{CHOWN, for_the_kernel};

use crate::error::{Context, Error, Result};
use crate::state::names;

/// One mount that was asked for. Destinations are absolute and clean. Options are in the order in which `inspect` shows
/// them, with those that no mount takes ([`for_the_kernel`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountRequest {
    Bind {
        source: PathBuf,
        destination: String,
        options: Vec<String>,
    },
    /// Without a name it belongs to the container.
    Volume {
        name: Option<String>,
        destination: String,
        options: Vec<String>,
        /// A new volume gets what the image has at its destination.
        copy: bool,
        /// The part of the volume that is mounted, as typed.
        subpath: Option<String>,
    },
    /// Another container's volume without a name (`--volumes-from`).
    Borrowed {
        name: String,
        destination: String,
        options: Vec<String>,
        subpath: Option<String>,
    },
    Tmpfs {
        destination: String,
        options: Vec<String>,
    },
    /// `-v …:O`: changes go above the source, which stays as it is.
    Overlay {
        source: OverlaySource,
        destination: String,
        options: Vec<String>,
        /// Where the changes are kept; `None`: they go with the container's end.
        keep: Option<Keep>,
    },
    Image {
        image: String,
        destination: String,
        /// What is written goes with the container's end.
        writable: bool,
        /// An absolute path in the image.
        subpath: Option<String>,
    },
    /// A ramfs or a devpts.
    Plain {
        kind: PlainKind,
        destination: String,
        options: Vec<String>,
    },
}

/// What lies below an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OverlaySource {
    Directory(PathBuf),
    Volume(String),
}

/// `upperdir=` and `workdir=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keep {
    pub upper: PathBuf,
    pub work: PathBuf,
}

/// File systems without a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlainKind {
    Ramfs,
    Devpts,
}

impl MountRequest {
    pub(crate) fn destination(&self) -> &str {
        match self {
            Self::Bind { destination, .. }
            | Self::Volume { destination, .. }
            | Self::Borrowed { destination, .. }
            | Self::Tmpfs { destination, .. }
            | Self::Overlay { destination, .. }
            | Self::Image { destination, .. }
            | Self::Plain { destination, .. } => destination,
        }
    }
}

/// `--image-volume`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ImageVolumes {
    #[default]
    Anonymous,
    Tmpfs,
    Ignore,
}

pub(crate) fn image_volumes(text: &str) -> Result<ImageVolumes> {
    match text {
        "" | "anonymous" | "bind" => Ok(ImageVolumes::Anonymous),
        "tmpfs" => Ok(ImageVolumes::Tmpfs),
        "ignore" => Ok(ImageVolumes::Ignore),
        _ => Err(Error::new(format!("invalid image volume mode {text:?} required value: anonymous, tmpfs, ignore"))),
    }
}

/// All mounts, in the order of their options; one per destination.
pub(crate) fn requests(volumes: &[String], mounts: &[String], tmpfs: &[String]) -> Result<Vec<MountRequest>> {
    let mut requests: Vec<MountRequest> = Vec::new();
    for text in mounts {
        requests.extend(mount::mount(text)?);
    }
    for text in volumes {
        requests.push(volume::volume(text)?);
    }
    for text in tmpfs {
        requests.push(memory::tmpfs(text)?);
    }
    for (at, request) in requests.iter().enumerate() {
        if requests[..at].iter().any(|other| other.destination() == request.destination()) {
            return Err(Error::new(format!("{}: duplicate mount destination", request.destination())));
        }
    }
    Ok(requests)
}

/// Lexically: no `.`, no `..`, no doubled or final slash.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn destination(path: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::new(format!("invalid container path {path:?}, must be an absolute path")));
    }
    let path = clean(path);
    if path == "/" {
        return Err(Error::new("invalid container path \"/\", it is the root file system itself")
            .hint("use --rootfs to run from a directory"));
    }
    Ok(path)
}

/// A path of the host, made absolute; it must exist (the kernel resolves links in it when it is mounted).
fn host_path(path: &str) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).context(|| format!("cannot make {path} an absolute path"))?;
    match std::fs::metadata(&absolute) {
        Ok(_) => Ok(absolute),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::new(format!("statfs {}: no such file or directory", absolute.display())))
        }
        Err(e) => Err(Error::wrap(format!("cannot examine {}", absolute.display()), e)),
    }
}

fn check_name(name: &str) -> Result<()> {
    names::check(name)
        .map_err(|e| Error::wrap(format!("creating named volume {name:?}: running volume create option"), e))
}
