//! A transient scope of the user's service manager.
//!
//! A login session's processes live outside the part of the tree that the user may write to, and no ordinary user can move
//! a process from one to the other. The service manager can: it puts the calling process into a scope of its own, with
//! Delegate=yes, so that what lies below belongs to rpod. The scope ends with its last process.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::tree;
use crate::error::{Error, Result};
use crate::systemd::manager;

/// The slice that Podman puts its containers in as well.
const SLICE: &str = "user.slice";

/// How long the manager may take to move this process.
const PATIENCE: Duration = Duration::from_secs(10);

/// Moves this process into the new scope `name`, below `slice`; answers the scope's directory.
pub(super) fn enter(mount: &Path, name: &str, slice: Option<&str>) -> Result<PathBuf> {
    let unit = format!("{name}.scope");
    manager::start_scope(&unit, slice.unwrap_or(SLICE), number(rustix::process::getpid()))
        .map_err(|e| Error::wrap("systemd --user made no scope", e))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some((_, own)) = tree::own_cgroup()
            && own.file_name().is_some_and(|last| last.to_str() == Some(&unit))
        {
            return Ok(mount.join(own.strip_prefix("/").unwrap_or(&own)));
        }
        if Instant::now() > deadline {
            return Err(Error::new(format!("systemd --user did not move this process into {unit}")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Has another process moved into a cgroup of a unit.
pub(super) fn attach(path: &Path, pid: Pid) -> Result<()> {
    let what = || format!("cannot move a process to the cgroup {}", path.display());
    let parts: Vec<&str> = path.to_str().unwrap_or_default().split('/').collect();
    // Below the container's own cgroup its programs choose the names: systemd calls one of them init.scope.
    let own = parts.iter().position(|part| *part == super::CONTAINER).unwrap_or(parts.len());
    let unit = parts.iter().take(own).rposition(|part| part.ends_with(".scope") || part.ends_with(".service"));
    let Some((unit, below)) = unit.and_then(|at| Some((parts.get(at)?, parts.get(at + 1..)?))) else {
        return Err(Error::new(format!("{}: it belongs to no unit of systemd", what())));
    };
    manager::attach(unit, &format!("/{}", below.join("/")), number(pid)).map_err(|e| Error::wrap(what(), e))
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
