//! Stopping all processes of a container for a while.
//!
//! With a cgroup of its own (v2) the kernel freezes it, and nobody inside can tell. Where none is delegated to the user, all
//! processes of its PID namespace get SIGSTOP at once (kill(2) with -1 from within, which no fork escapes) and SIGCONT later:
//! parents inside may see their children stop.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::state::State;
use crate::error::{Context, Error, Result};
use crate::runtime;
use crate::sys::process::{Fork, exit_now, fork};
use crate::sys::{close, namespace, signal};

/// The kernel freezes within this time, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(5);

/// Stops (`paused`) or continues the container whose first process is `pidfd`. For a process with one thread.
pub(super) fn set(paused: bool, pidfd: BorrowedFd<'_>, spec: &Spec, state: &State) -> Result<()> {
    match &state.cgroup {
        Some(cgroup) => freeze(cgroup, paused),
        None => signal_all(paused, pidfd, spec, state.pid),
    }
}

/// The cgroup v2 freezer (cgroup.freeze, Linux 5.2).
fn freeze(cgroup: &Path, paused: bool) -> Result<()> {
    let what = || format!("cannot freeze the cgroup {}", cgroup.display());
    let (wanted, event) = if paused { ("1", "frozen 1") } else { ("0", "frozen 0") };
    std::fs::write(cgroup.join("cgroup.freeze"), wanted).context(what)?;
    let end = Instant::now() + PATIENCE;
    loop {
        let events = std::fs::read_to_string(cgroup.join("cgroup.events")).context(what)?;
        if events.lines().any(|line| line == event) {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Error::new(format!("{}: the kernel did not do it in time", what())));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal_all(paused: bool, pidfd: BorrowedFd<'_>, spec: &Spec, pid: i32) -> Result<()> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let own = namespaces.into_iter().flatten().any(|n| n.typ() == LinuxNamespaceType::Pid && n.path().is_none());
    if !own {
        return Err(Error::new(
            "cannot pause a container that shares its PID namespace where no cgroup v2 tree is delegated",
        ));
    }
    let number = if paused { libc::SIGSTOP } else { libc::SIGCONT };
    // The first process does not start others while it is stopped.
    signal::send(pidfd, number).context(|| "cannot signal the container's first process")?;
    let mut kinds = libc::CLONE_NEWPID;
    if runtime::enters_user(pid) {
        kinds |= libc::CLONE_NEWUSER;
    }
    let what = || "cannot signal the container's processes";
    match fork().context(what)? {
        Fork::Parent(child) => match child.wait().context(what)? {
            0 => Ok(()),
            code => Err(Error::wrap(what(), std::io::Error::from_raw_os_error(code.into()))),
        },
        Fork::Child => {
            close::all_but(vec![pidfd]);
            // A PID namespace is entered by children only.
            let inside = namespace::setns(pidfd, kinds).and_then(|()| match fork()? {
                Fork::Parent(child) => child.wait(),
                Fork::Child => exit_now(signal::send_to_all(number).map_or_else(code, |()| 0)),
            });
            exit_now(inside.unwrap_or_else(code))
        }
    }
}

/// An errno as an exit code.
fn code(errno: rustix::io::Errno) -> u8 {
    u8::try_from(errno.raw_os_error()).unwrap_or(255)
}
