//! A container's root file system, made of an image's layers.

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::driver::{DriverName, fuse_overlayfs};
use super::{Store, copy, mapped, remove, whiteout};
use crate::error::{Context, Error, Result};
use crate::image::digest::DiffId;
use crate::state::paths::create_private;
use crate::userns::shift::Shift;
use crate::userns::{IdMaps, enter};

/// What is to be mounted, or is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub(crate) enum RootfsPlan {
    /// `lower` is top first. To be mounted with `userxattr`.
    Overlay {
        lower: Vec<PathBuf>,
        upper: PathBuf,
        work: PathBuf,
    },
    FuseOverlayfs {
        lower: Vec<PathBuf>,
        upper: PathBuf,
        work: PathBuf,
        program: PathBuf,
    },
    Directory {
        path: PathBuf,
    },
}

/// What has to be done about the owners of a container's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdShift {
    /// The container has the store's own map.
    None,
    /// Layers are copied once for all containers with the same map.
    Shared(Shift),
    /// No other container will have this map: the copy goes with the container.
    Own(Shift),
}

impl IdShift {
    pub(crate) fn shift(&self) -> Option<&Shift> {
        match self {
            Self::None => None,
            Self::Shared(shift) | Self::Own(shift) => Some(shift),
        }
    }
}

impl RootfsPlan {
    /// Where changes go, if not into the root file system itself.
    pub(crate) fn upper(&self) -> Option<&Path> {
        match self {
            Self::Overlay { upper, .. } | Self::FuseOverlayfs { upper, .. } => Some(upper),
            Self::Directory { .. } => None,
        }
    }

    /// The directories that make up what the container sees, top first, for [`super::LayerView`].
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        match self {
            Self::Overlay { lower, upper, .. } | Self::FuseOverlayfs { lower, upper, .. } => {
                std::iter::once(upper).chain(lower).cloned().collect()
            }
            Self::Directory { path } => vec![path.clone()],
        }
    }
}

impl RootfsPlan {
    /// Where it is mounted while the container is made, as seen from outside.
    pub(crate) fn place(&self) -> &Path {
        match self {
            Self::Overlay { upper, .. } | Self::FuseOverlayfs { upper, .. } => upper,
            Self::Directory { path } => path,
        }
    }

    /// The driver's name, as `inspect` shows it; that of a directory is Podman's word for no driver at all.
    pub(crate) fn driver(&self) -> &'static str {
        match self {
            Self::Overlay { .. } => "overlay",
            Self::FuseOverlayfs { .. } => "fuse-overlayfs",
            Self::Directory { .. } => "vfs",
        }
    }

    /// Made of layers, the first of [`RootfsPlan::directories`] being the container's own.
    pub(crate) fn is_layered(&self) -> bool {
        !matches!(self, Self::Directory { .. })
    }
}

/// What everybody may do with a root directory. Docker and Podman take no mode of it from layers, so there are images made of
/// private directories in which nobody but root could run a program.
pub(super) const ROOT_MODE: u32 = 0o555;

impl Store {
    /// Prepares the root file system of a container in its directory `dir`, from an image's layers, bottom first. Doing
    /// it again changes nothing. With the copy driver this needs a single-threaded process and takes its time; the same
    /// holds for a container whose ids are not where the store has them ([`IdShift`]), and for layers of somebody else, in
    /// an additional store.
    pub(crate) fn prepare_rootfs(&self, layers: &[DiffId], dir: &Path, ids: &IdShift) -> Result<RootfsPlan> {
        let driver = self.driver()?;
        let mut lower = self.lower_directories(layers)?;
        let mut mode = None;
        let mut is_foreign = false;
        for diff in &lower {
            let meta = std::fs::metadata(diff).context(|| format!("cannot examine {}", diff.display()))?;
            // 0755 is also what a layer has that says nothing about the root; the first that says something else wins.
            mode = mode.or(Some(meta.mode() & 0o7777).filter(|mode| *mode != 0o755));
            is_foreign |= !diff.starts_with(&self.data) && !owns(&meta)?;
        }
        create_private(dir)?;
        // Nobody in the container could change or even replace a file of a user it does not have.
        let squash = is_foreign.then(Shift::squash);
        let ids = &squash.map_or_else(|| ids.clone(), IdShift::Shared);
        if driver == DriverName::Copy {
            lower.reverse();
            return copied(&lower, dir, ids.shift());
        }
        match ids {
            IdShift::None => {}
            IdShift::Shared(shift) => lower = vec![self.mapped(layers, &lower, shift)?],
            IdShift::Own(shift) => {
                lower.reverse();
                let RootfsPlan::Directory { path } = copied(&lower, dir, Some(shift))? else {
                    return Err(Error::new("a copy of the layers is no directory"));
                };
                lower = vec![path];
            }
        }
        if lower.is_empty() {
            // An image from scratch; a mount needs at least one.
            let empty = dir.join("empty");
            make(&empty, 0o755)?;
            lower.push(empty);
        }
        let (upper, work) = (dir.join("upper"), dir.join("work"));
        make(&upper, mode.unwrap_or(0o755) | ROOT_MODE)?;
        make(&work, 0o700)?;
        if let Some(shift) = ids.shift() {
            mapped::give(&[&upper, &work], shift)?;
        }
        Ok(match driver {
            DriverName::Overlay => RootfsPlan::Overlay { lower, upper, work },
            _ => RootfsPlan::FuseOverlayfs { lower, upper, work, program: fuse_overlayfs()? },
        })
    }

    /// The directories of layers, bottom first, as overlayfs stacks them: the top one first.
    pub(super) fn lower_directories(&self, layers: &[DiffId]) -> Result<Vec<PathBuf>> {
        let mut lower = Vec::with_capacity(layers.len());
        for layer in self.layers(layers)?.iter().rev() {
            let diff = layer.diff();
            let opaque = std::fs::File::open(&diff).is_ok_and(whiteout::opaque);
            // overlayfs takes no directory twice, and the upper of two equal layers hides the other.
            if !lower.contains(&diff) {
                lower.push(diff);
            }
            // overlayfs does not ask whether a layer's root is opaque.
            if opaque {
                break;
            }
        }
        Ok(lower)
    }
}

/// Whether a layer's root, from an additional store, belongs to this user or to a subordinate id.
fn owns(meta: &std::fs::Metadata) -> Result<bool> {
    if meta.uid() == rustix::process::geteuid().as_raw() {
        return Ok(true);
    }
    let maps = IdMaps::for_user()?;
    Ok(maps.uids.iter().any(|range| meta.uid() >= range.host && meta.uid() - range.host < range.size))
}

/// One process makes a container's directory, so the name of an unfinished copy needs no lock.
fn copied(layers: &[PathBuf], dir: &Path, shift: Option<&Shift>) -> Result<RootfsPlan> {
    let path = dir.join("rootfs");
    if !path.exists() {
        let partial = dir.join("rootfs.partial");
        enter::run(&IdMaps::for_user()?, || {
            remove::path(&partial)?;
            make(&partial, 0o755)?;
            copy::rootfs(layers, &partial, shift)
        })?;
        std::fs::rename(&partial, &path).context(|| format!("cannot create {}", path.display()))?;
    }
    Ok(RootfsPlan::Directory { path })
}

/// With exactly that mode, whatever the umask.
fn make(dir: &Path, mode: u32) -> Result<()> {
    let failed = || format!("cannot create {}", dir.display());
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) if mode == 0o700 => Ok(()),
        Ok(()) => std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).context(failed),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(Error::wrap(failed(), e)),
    }
}
