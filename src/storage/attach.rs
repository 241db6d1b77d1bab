//! Mounts a container's root file system where this process is: in a user namespace that has the container's ids.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, mount};

use super::RootfsPlan;
use crate::error::{Context, Error, Result};
use crate::state::paths::create_private;

/// mount(2) takes one page of options.
const MOST: usize = 4096;

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
    // Through descriptors, whose paths hold no colon or comma and are short.
    let mut kept = Vec::with_capacity(lower.len() + 2);
    let mut name = |path: &Path| -> Result<String> {
        let fd = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .context(|| format!("cannot open {}", path.display()))?;
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
    mount("overlay", place, "overlay", MountFlags::empty(), Some(options.as_c_str())).context(failed)
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
