//! `mount` and `unmount`: a container's root file system in the caller's own mount namespace.
//!
//! Nothing else can show a mount made without root: it lives in a mount namespace, and the one that a person has for
//! this is the shell of `rpod unshare`. The mount ends with it.

use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount as unmount_path};
use rustix::thread::CapabilitySet;

use crate::engine::container::record::Config;
use crate::engine::container::store::{self, Container};
use crate::error::{Context, Error, Kind, Result};
use crate::state::paths::Dirs;
use crate::storage::RootfsPlan;

/// Whether mounts made here can be seen by whoever called.
fn may_mount() -> bool {
    rustix::process::geteuid().is_root()
        && rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// # Errors
/// Outside `rpod unshare`, `what` cannot be done.
pub(crate) fn check(what: &str) -> Result<()> {
    if may_mount() {
        return Ok(());
    }
    Err(Error::new(format!("cannot run command \"rpod {what}\" in rootless mode, must execute `rpod unshare` first"))
        .hint("a mount is seen only in the namespace that it is made in; rpod cp, export and diff work without"))
}

/// Mounts the container's root, if it is not mounted, and answers where.
pub(crate) fn mount(dirs: &Dirs, container: &Container) -> Result<PathBuf> {
    let config = container.config()?;
    if let Some(path) = mounted(container, &config)? {
        return Ok(path);
    }
    if container.state(dirs)?.status.has_processes() {
        return Err(Error::new(format!(
            "cannot mount container {}: it runs, and overlayfs must not be mounted twice over the same files",
            container.id()
        ))
        .with_kind(Kind::Conflict)
        .hint("its files are at /proc/PID/root while it runs (outside rpod unshare); rpod cp works as well"));
    }
    config.rootfs.mount(&target(container)).context(|| format!("cannot mount container {}", container.id()))
}

/// Where the container's root is mounted in this namespace, if it is. A plain directory counts as mounted.
fn mounted(container: &Container, config: &Config) -> Result<Option<PathBuf>> {
    if let RootfsPlan::Directory { path } = &config.rootfs {
        return Ok(Some(path.clone()));
    }
    let target = target(container);
    Ok(is_mount_point(&target)?.then_some(target))
}

/// The containers that are mounted here, and where.
pub(crate) fn list(dirs: &Dirs) -> Result<Vec<(Container, PathBuf)>> {
    let mut all = Vec::new();
    for container in store::list(dirs)? {
        let target = target(&container);
        if is_mount_point(&target)? {
            all.push((container, target));
        }
    }
    Ok(all)
}

/// Answers whether the container was mounted.
pub(crate) fn unmount(container: &Container, force: bool) -> Result<bool> {
    let target = target(container);
    if !is_mount_point(&target)? {
        return Ok(false);
    }
    let flags = if force { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    unmount_path(&target, flags).context(|| format!("cannot unmount {}", target.display()))?;
    // Fails where something is in it, which is the runtime's then.
    let _ = std::fs::remove_dir(&target);
    Ok(true)
}

fn target(container: &Container) -> PathBuf {
    container.place.disk.join("mounted")
}

fn is_mount_point(path: &Path) -> Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    let table = std::fs::read("/proc/self/mountinfo").context(|| "cannot read /proc/self/mountinfo")?;
    // The path is one of the store's and holds what its parents do; blanks are written as octal (proc(5)).
    let mut wanted = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => wanted.extend(format!("\\{byte:03o}").into_bytes()),
            byte => wanted.push(*byte),
        }
    }
    Ok(table.split(|byte| *byte == b'\n').any(|line| line.split(|byte| *byte == b' ').nth(4) == Some(&wanted[..])))
}
