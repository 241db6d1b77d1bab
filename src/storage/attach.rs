//! Mounts a container's root file system where this process is: in a user namespace that has the container's ids.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::MountFlags;

use super::RootfsPlan;
use crate::error::{Context, Error, Result};
use crate::state::paths::create_private;
use crate::sys::overlay::Overlay;

impl RootfsPlan {
    /// Mounts on `target` and answers where the files are; a plain directory is there already.
    pub(crate) fn mount(&self, target: &Path) -> Result<PathBuf> {
        match self {
            Self::Directory { path } => return Ok(path.clone()),
            Self::Overlay { lower, upper, work } => {
                create_private(target)?;
                overlay(lower, Some((upper, work)), target)?;
            }
            Self::FuseOverlayfs { lower, upper, work, program } => {
                create_private(target)?;
                fuse(lower, Some((upper, work)), target, program)?;
            }
        }
        Ok(target.to_path_buf())
    }

    /// [`RootfsPlan::mount`] for somebody who only reads, with what was changed as one more layer: several can do that at
    /// once, beside one that writes, and its end does not wait until everything that anybody has written to the file
    /// system is on the disk (syncfs(2)).
    pub(crate) fn mount_to_read(&self, target: &Path) -> Result<PathBuf> {
        let layers =
            |upper: &PathBuf, lower: &[PathBuf]| std::iter::once(upper).chain(lower).cloned().collect::<Vec<_>>();
        match self {
            Self::Directory { path } => return Ok(path.clone()),
            Self::Overlay { lower, upper, .. } => {
                create_private(target)?;
                overlay(&layers(upper, lower), None, target)?;
            }
            Self::FuseOverlayfs { lower, upper, program, .. } => {
                create_private(target)?;
                fuse(&layers(upper, lower), None, target, program)?;
            }
        }
        Ok(target.to_path_buf())
    }
}

/// overlayfs; without `upper` to be read only.
pub(super) fn overlay(lower: &[PathBuf], upper: Option<(&PathBuf, &PathBuf)>, place: &Path) -> Result<()> {
    let failed = || format!("cannot mount an overlay on {}", place.display());
    let directory = |path: &Path| {
        openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .context(|| format!("cannot open {}", path.display()))
    };
    let layers = lower.iter().map(|path| directory(path)).collect::<Result<Vec<_>>>()?;
    let upper = upper.map(|(upper, work)| Ok::<_, Error>((directory(upper)?, directory(work)?))).transpose()?;
    let place = directory(place)?;
    let mount = || {
        let mut overlay = Overlay::new();
        for layer in &layers {
            overlay.lower(layer)?;
        }
        if let Some((upper, work)) = &upper {
            overlay.upper(upper, work)?;
        }
        overlay.mount(&place, MountFlags::empty())
    };
    mount().context(failed)
}

/// The same by fuse-overlayfs.
pub(super) fn fuse(lower: &[PathBuf], upper: Option<(&PathBuf, &PathBuf)>, place: &Path, program: &Path) -> Result<()> {
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
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::wrap(failed(), Error::new(String::from_utf8_lossy(&output.stderr).trim().to_owned()))),
    }
}
