//! One OCI runtime Spec → a running process. Knows no image and no name.
//!
//! ```text
//! caller (monitor, one thread)            the container's first process
//! plan::compile: Spec → set-up operations
//! clone3(every new namespace) ──────────▶ what needs no ids: network device, hostname, file systems, root, pivot
//! newuidmap ∥ newgidmap                   … as far as it gets, then waits for
//!   ── Mapped ───────────────────────────▶ files and links in /dev, the terminal, limits, working directory, credentials
//! Created::start ── Go ──────────────────▶ execveat(sealed trampoline) → execve(program)
//!   ◀── end of file: the program runs, or the step that failed and its errno
//! ```
//!
//! The plan is data: printable, tested without a kernel, and complete before the clone, so that the child allocates
//! nothing (`child`, `ops`). Everything the two say to each other is in `protocol`.
//!
//! Security, in short: mounts are made detached and attached by descriptor, at places that openat2(2) found inside the
//! new root (CVE-2021-30465); devices and masks are binds of nodes that were checked to be the host's, writes to procfs go
//! through a descriptor of a real procfs (CVE-2025-31133, -52565, -52881); every descriptor but the container's own is closed
//! before the working directory is entered, which must then lie inside (CVE-2024-21626); the process is not dumpable and its
//! /proc/PID/exe is a sealed memfd by the time the program's path is resolved (CVE-2019-5736).

pub(crate) mod cgroup;
mod child;
pub(crate) mod choice;
mod copyup;
mod create;
pub(crate) mod crun;
mod exec;
mod fuse;
mod guard;
pub(crate) mod hook;
mod nested;
pub(crate) mod netdev;
mod ops;
mod place;
mod plan;
mod protocol;
#[cfg(test)]
pub(crate) mod scenarios;
mod streams;
mod trampoline;

pub(crate) use create::create;
pub(crate) use exec::{Target, enters_user, exec};
pub(crate) use guard::Guard;
pub(crate) use plan::{kind as namespace_kind, report_fd};

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use rustix::io::Errno;
use rustix::process::Pid;

use crate::error::{Error, Result};
use crate::sys::seccomp::Filter;
use crate::userns::IdMaps;
use crun::Crun;

/// Everything that one container needs to come up.
pub(crate) struct Bundle<'a> {
    pub spec: &'a Spec,
    /// The new user namespace's ids; `None` makes no user namespace (or joins one through `join`).
    pub maps: Option<&'a IdMaps>,
    /// The ids of the namespace that the container is in, new or joined, where they are known.
    pub ids: Option<&'a IdMaps>,
    /// The user namespace in which the new one is made, with its ids; `None`: the caller's.
    pub parent: Option<(BorrowedFd<'a>, &'a IdMaps)>,
    pub rootfs: Rootfs,
    /// A mount made elsewhere, which becomes /dev/shm where the Spec's mount there has no path as source.
    pub shm: Option<OwnedFd>,
    pub stdio: Stdio,
    /// Run in the new network namespace before anything else.
    pub netdev: Option<&'a Netdev<'a>>,
    /// Namespaces of others to enter, in this order; those with a path in the Spec come after them.
    pub join: Vec<Join>,
    /// What the Spec's seccomp rules compile to.
    pub seccomp: Option<&'a Filter>,
    /// Pid 1 is a reaper that passes signals on to the program.
    pub init: bool,
    /// Where the process is born (cgroups(7), v2), from [`cgroup`].
    pub cgroup: Option<OwnedFd>,
    /// Beside the standard streams, by number; nothing else of the caller's stays open.
    pub given: &'a [Given],
    /// `None` for a container without hooks.
    pub subject: Option<hook::Subject<'a>>,
    /// It may be long until the start: everything is made, and has been seen to be, before the container counts as created.
    pub held: bool,
}

/// A descriptor that the program gets under a number.
#[derive(Debug)]
pub(crate) struct Given {
    /// At least 3.
    pub number: i32,
    /// Its own number is above [`report_fd`] of all that are given.
    pub fd: OwnedFd,
}

/// Configures network devices in the child, without allocating; answers a socket of its network namespace.
pub(crate) type Netdev<'a> = dyn Fn() -> std::result::Result<OwnedFd, (&'static str, Errno)> + 'a;

/// The container's root file system.
#[derive(Debug)]
pub(crate) enum Rootfs {
    /// Mounted by the kernel; `lower` has the top layer first. `volatile` leaves out every flush to disk, for containers
    /// whose files go with them.
    Overlay { lower: Vec<PathBuf>, upper: PathBuf, work: PathBuf, volatile: bool },
    /// Mounted by the program, which ends with the container.
    FuseOverlayfs { lower: Vec<PathBuf>, upper: PathBuf, work: PathBuf, program: PathBuf },
    /// A directory as it is.
    Directory { path: PathBuf },
}

/// Where the program's standard streams go.
#[derive(Debug)]
pub(crate) enum Stdio {
    Pipes {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// A pseudo-terminal of the container's own devpts.
    Terminal {
        rows: u16,
        cols: u16,
    },
}

/// A namespace, or several through a pidfd, that the container shares with others.
#[derive(Debug)]
pub(crate) struct Join {
    pub fd: OwnedFd,
    /// CLONE_NEW* bits.
    pub kinds: i32,
}

/// The container's first process, while it is being made.
#[derive(Debug)]
pub(crate) struct Init {
    pub pid: Pid,
    /// Readable once the process has ended.
    pub pidfd: OwnedFd,
    /// What [`Bundle::netdev`] answered.
    pub link: Option<OwnedFd>,
}

/// What the caller does while the container comes up.
pub(crate) trait Hooks {
    /// The namespaces are there and the network device is configured; ids are still being mapped.
    fn cloned(&mut self, init: &mut Init) -> Result<()>;
    /// The ids are mapped; the program does not run before this returns.
    fn mapped(&mut self, init: &Init) -> Result<()>;
}

/// [`Hooks`] of a caller with nothing to do.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct NoHooks;

#[cfg(test)]
impl Hooks for NoHooks {
    fn cloned(&mut self, _: &mut Init) -> Result<()> {
        Ok(())
    }

    fn mapped(&mut self, _: &Init) -> Result<()> {
        Ok(())
    }
}

/// A container that waits for [`Created::start`]. Dropped before that, it is killed.
#[derive(Debug)]
pub(crate) struct Created {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    /// The terminal's master side.
    pub console: Option<OwnedFd>,
    /// What could not be honoured, for stderr.
    pub warnings: Vec<String>,
    /// Ends the container with its caller; `None` where the kernel does it.
    pub guard: Option<Guard>,
    /// Gone once started.
    rest: Option<Rest>,
}

/// The way from [`create()`] to [`Created::start`].
#[derive(Debug)]
enum Rest {
    Own { channel: OwnedFd, plan: Box<plan::Plan>, later: Option<Box<hook::Later>> },
    Crun(Crun),
}

impl Created {
    /// Lets the program run; returns when it does.
    ///
    /// # Errors
    /// Of kind `ProgramNotFound` or `CannotInvoke` when the program cannot be executed, else the step that failed. The
    /// process has ended and has been reaped then.
    pub(crate) fn start(&mut self) -> Result<()> {
        match self.rest.take() {
            Some(Rest::Own { channel, plan, later }) => {
                let state = later.as_ref().map(|later| later.created.as_fd());
                create::start(&channel, &plan, &self.pidfd, state, &mut self.warnings)?;
                self.warnings.extend(later.iter().flat_map(|later| later.started()));
                Ok(())
            }
            Some(Rest::Crun(crun)) => crun::start(&crun),
            None => Err(Error::new("the container was started already")),
        }
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if self.rest.is_some() {
            create::kill(&self.pidfd);
        }
    }
}
