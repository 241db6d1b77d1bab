//! Mounts a container's root file system where this process is: in a user namespace that has the container's ids.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, mount};

use super::RootfsPlan;
use crate::error::{Context, Error, Result};

impl RootfsPlan {
    /// Mounts on `target` and answers where the files are; a plain directory is there already.
    pub(crate) fn mount(&self, target: &Path) -> Result<PathBuf> {
        let failed = || format!("cannot mount on {}", target.display());
        if let Self::Directory { path } = self {
            return Ok(path.clone());
        }
        crate::state::paths::create_private(target)?;
        match self {
            Self::Directory { .. } => {}
            Self::Overlay { lower, upper, work } => {
                let open = |path: &PathBuf| {
                    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                        .context(|| format!("cannot open {}", path.display()))
                };
                let lower = lower.iter().map(open).collect::<Result<Vec<_>>>()?;
                let (upper, work) = (open(upper)?, open(work)?);
                // Through descriptors, whose paths hold no colon or comma and are short enough for a page.
                let name = |fd: &std::os::fd::OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
                let lower: Vec<String> = lower.iter().map(name).collect();
                let data =
                    format!("lowerdir={},upperdir={},workdir={},userxattr", lower.join(":"), name(&upper), name(&work));
                let data = std::ffi::CString::new(data).context(failed)?;
                mount("overlay", target, "overlay", MountFlags::empty(), Some(data.as_c_str())).context(failed)?;
            }
            Self::FuseOverlayfs { lower, upper, work, program } => {
                let escaped = |path: &PathBuf| {
                    path.display().to_string().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,")
                };
                let lower: Vec<String> = lower.iter().map(escaped).collect();
                let option =
                    format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), escaped(upper), escaped(work));
                let output = Command::new(program).arg("-o").arg(option).arg(target).stdin(Stdio::null()).output();
                let output = output.context(failed)?;
                if !output.status.success() {
                    return Err(Error::wrap(
                        failed(),
                        Error::new(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
                    ));
                }
            }
        }
        Ok(target.to_path_buf())
    }
}
