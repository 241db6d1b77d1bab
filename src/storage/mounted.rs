//! A root file system mounted in this process's own mount namespace, for those who put files into it without running
//! anything there. Only for a process that is root of the user's map ([`crate::userns::enter`]).

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::RootfsPlan;
use crate::error::{Context, Error, Result};

/// mount(2) takes one page of options.
const MOST: usize = 4096;

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
            Self::Overlay { lower, upper, work } => overlay(lower, Some((upper, work)), upper),
            Self::FuseOverlayfs { lower, upper, work, program } => fuse(lower, Some((upper, work)), upper, program),
        }
    }

    /// Mounts what is below the upper directory, to be read only, over the empty directory `place`.
    pub(crate) fn mount_lower(&self, place: &Path) -> Result<Mounted> {
        match self {
            Self::Overlay { lower, .. } | Self::FuseOverlayfs { lower, .. } if lower.len() == 1 => {
                Ok(Mounted { root: open(&lower[0])?, place: None })
            }
            Self::Overlay { lower, .. } => overlay(lower, None, place),
            Self::FuseOverlayfs { lower, program, .. } => fuse(lower, None, place, program),
            Self::Directory { path } => Ok(Mounted { root: open(path)?, place: None }),
        }
    }
}

fn overlay(lower: &[PathBuf], upper: Option<(&PathBuf, &PathBuf)>, place: &Path) -> Result<Mounted> {
    let failed = || format!("cannot mount an overlay on {}", place.display());
    // Through descriptors, whose paths hold no colon or comma and are short.
    let mut kept = Vec::with_capacity(lower.len() + 2);
    let mut name = |path: &Path| -> Result<String> {
        let fd = open(path)?;
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
        kept.push(fd);
        Ok(name)
    };
    let names = lower.iter().map(|path| name(path)).collect::<Result<Vec<_>>>()?;
    let mut options = format!("lowerdir={}", names.join(":"));
    if let Some((upper, work)) = upper {
        options = format!("{options},upperdir={},workdir={}", name(upper)?, name(work)?);
    }
    options.push_str(",userxattr");
    if options.len() >= MOST {
        return Err(Error::new(format!("{}: it has too many layers", failed())));
    }
    let options = std::ffi::CString::new(options).context(failed)?;
    mount("overlay", place, "overlay", MountFlags::empty(), Some(options.as_c_str())).context(failed)?;
    Ok(Mounted { root: open(place)?, place: Some(place.to_path_buf()) })
}

fn fuse(lower: &[PathBuf], upper: Option<(&PathBuf, &PathBuf)>, place: &Path, program: &Path) -> Result<Mounted> {
    let failed = || format!("{} cannot mount on {}", program.display(), place.display());
    let escaped = |path: &Path| {
        let mut text = String::new();
        for c in path.to_string_lossy().chars() {
            if "\\:,".contains(c) {
                text.push('\\');
            }
            text.push(c);
        }
        text
    };
    let names: Vec<String> = lower.iter().map(|path| escaped(path)).collect();
    let mut options = format!("lowerdir={}", names.join(":"));
    if let Some((upper, work)) = upper {
        options = format!("{options},upperdir={},workdir={}", escaped(upper), escaped(work));
    }
    let output =
        Command::new(program).arg("-o").arg(options).arg(place).stdin(Stdio::null()).output().context(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::wrap(failed(), Error::new(said)));
    }
    Ok(Mounted { root: open(place)?, place: Some(place.to_path_buf()) })
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
