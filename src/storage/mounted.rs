//! A root file system mounted in this process's own mount namespace, for those who put files into it without running
//! anything there. Only for a process that is root of the user's map ([`crate::userns::enter`]).

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{UnmountFlags, unmount};

use super::RootfsPlan;
use super::attach::{fuse, overlay};
use crate::error::{Context, Result};

/// A mounted root. Dropped, it goes.
#[derive(Debug)]
pub(crate) struct Mounted {
    pub root: OwnedFd,
    place: Option<PathBuf>,
}

impl RootfsPlan {
    /// Mounts it over its own upper directory.
    pub(crate) fn mount_in_place(&self) -> Result<Mounted> {
        match self {
            Self::Directory { path } => Ok(Mounted { root: open(path)?, place: None }),
            Self::Overlay { lower, upper, work } => {
                overlay(lower, Some((upper, work)), upper)?;
                Mounted::at(upper)
            }
            Self::FuseOverlayfs { lower, upper, work, program } => {
                fuse(lower, Some((upper, work)), upper, program)?;
                Mounted::at(upper)
            }
        }
    }

    /// Mounts what is below the upper directory, to be read only, over the empty directory `place`.
    pub(crate) fn mount_lower(&self, place: &Path) -> Result<Mounted> {
        match self {
            Self::Overlay { lower, .. } | Self::FuseOverlayfs { lower, .. } if lower.len() == 1 => {
                Ok(Mounted { root: open(&lower[0])?, place: None })
            }
            Self::Overlay { lower, .. } => {
                overlay(lower, None, place)?;
                Mounted::at(place)
            }
            Self::FuseOverlayfs { lower, program, .. } => {
                fuse(lower, None, place, program)?;
                Mounted::at(place)
            }
            Self::Directory { path } => Ok(Mounted { root: open(path)?, place: None }),
        }
    }
}

impl Mounted {
    /// What has just been mounted there.
    fn at(place: &Path) -> Result<Self> {
        Ok(Self { root: open(place)?, place: Some(place.to_path_buf()) })
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("cannot open {}", path.display()))
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            // The namespace ends with this process, and the mount with it, at the latest.
            let _ = unmount(place, UnmountFlags::DETACH);
        }
    }
}
