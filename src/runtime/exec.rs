//! Another process in a running container: one setns(2) with the pidfd of its first process, then the same way to the
//! program as that one went.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Spec;

use super::create::{self, Process};
use super::protocol::Kind;
use super::{Given, Stdio, cgroup, plan};
use crate::error::{Context, Error, Result};
use crate::sys::seccomp::Filter;
use crate::userns::IdMaps;

/// The running container.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// Of its first process.
    pub pidfd: BorrowedFd<'a>,
    /// What it was made from: says which namespaces are its own.
    pub spec: &'a Spec,
    pub maps: Option<&'a IdMaps>,
    /// It is in another user namespace than the caller: the kernel refuses to enter the one that a process is in.
    pub enters_user: bool,
    /// Its cgroup (v2) directory, if the caller can put processes there.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Its cgroup's path, if the service manager has to put the process there.
    pub attach: Option<&'a Path>,
    /// What the Spec's seccomp rules compile to.
    pub seccomp: Option<&'a Filter>,
    /// Whether the process goes on when this one ends.
    pub detach: bool,
    /// Beside the standard streams, by number.
    pub given: &'a [Given],
}

/// Whether process `pid` is in another user namespace than the caller. What cannot be read is a container's.
pub(crate) fn enters_user(pid: i32) -> bool {
    let of = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/user")).ok();
    of(&pid.to_string()).is_none_or(|theirs| Some(theirs) != of("self"))
}

/// A process that runs in a container. It is a child of the caller.
#[derive(Debug)]
pub(crate) struct ExecChild {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// The terminal's master side.
    pub console: Option<OwnedFd>,
    pub warnings: Vec<String>,
}

/// Starts `process` in the container; returns when its program runs. For a single-threaded process.
pub(crate) fn exec(target: &Target<'_>, process: &oci_spec::runtime::Process, stdio: &Stdio) -> Result<ExecChild> {
    let linux = target.spec.linux().as_ref().ok_or_else(|| Error::new("the container's Spec is not for Linux"))?;
    if linux.seccomp().is_some() && target.seccomp.is_none() {
        return Err(Error::new("the Spec has seccomp rules, but no filter was compiled from them"));
    }
    let plan = plan::compile_exec(process, stdio, target.maps, target.seccomp, !target.detach, target.given)?;
    let mut kinds = libc::CLONE_NEWNS;
    for namespace in linux.namespaces().iter().flatten() {
        kinds |= plan::kind(namespace.typ())?;
    }
    if !target.enters_user {
        kinds &= !libc::CLONE_NEWUSER;
    }
    let starter = Process {
        nested: None,
        plan: &plan,
        join: vec![(target.pidfd, kinds)],
        mapped: true,
        cgroup: target.cgroup,
        netdev: None,
        shm: None,
        given: target.given,
        stdio,
    };
    let unkeyed = create::leave_keyring();
    let (pid, pidfd, channel) = starter.start().context(|| "cannot join the container")?;
    let (mut console, mut warnings) = (None, Vec::from_iter(unkeyed));
    // Before the program runs: until then nothing in there is the container's own.
    if let Some(Err(e)) = target.attach.map(|path| cgroup::attach(path, pid)) {
        warnings.push(format!("the container's limits do not hold for this process: {e}"));
    }
    if matches!(stdio, Stdio::Terminal { .. }) {
        match create::expect(&channel, &plan, Kind::Console, &mut warnings) {
            Ok(message) => console = message.fd,
            Err(e) => {
                create::kill(&pidfd);
                return Err(e);
            }
        }
    }
    create::start(&channel, &plan, &pidfd, None, &mut warnings)?;
    Ok(ExecChild { pid: pid.as_raw_nonzero().get(), pidfd, console, warnings })
}
