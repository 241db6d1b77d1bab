//! fork(2), pidfds and what a child owes its parent.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open};

/// Which side of a [`fork`] this is.
#[derive(Debug)]
pub(crate) enum Fork {
    Parent(Child),
    Child,
}

/// A child process that can be waited for without a pid race.
#[derive(Debug)]
pub(crate) struct Child {
    pub pid: Pid,
    /// Readable (poll) once the child has ended.
    pub pidfd: OwnedFd,
}

/// fork(2). Only for processes with a single thread: a lock held by another thread would stay held in the child.
pub(crate) fn fork() -> rustix::io::Result<Fork> {
    debug_assert!(becomes_single_threaded(), "fork with more than one thread");
    // SAFETY: the process has one thread, so no lock of another thread is copied in a locked state.
    match unsafe { libc::fork() } {
        -1 => Err(super::last_errno()),
        0 => Ok(Fork::Child),
        pid => {
            let pid = Pid::from_raw(pid).ok_or(rustix::io::Errno::INVAL)?;
            Ok(Fork::Parent(Child { pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? }))
        }
    }
}

/// As [`single_threaded`], but a thread that has been joined may still be on its way out of /proc: the kernel wakes the
/// one that joins (set_tid_address(2)) before it takes the thread off the list.
pub(crate) fn becomes_single_threaded() -> bool {
    (0..100).any(|_| {
        let single = single_threaded();
        if !single {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        single
    })
}

/// Whether this process has one thread only (proc(5), /proc/self/task).
pub(crate) fn single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// _exit(2): ends the process without running destructors or exit handlers, as a forked child must.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Has a program killed when this process ends (prctl(2), PR_SET_PDEATHSIG); for one started by the main thread.
pub(crate) fn tie(command: &mut Command) -> &mut Command {
    // SAFETY: prctl(2) neither allocates nor locks.
    unsafe { command.pre_exec(|| super::prctl::die_with_parent().map_err(Into::into)) }
}

impl Child {
    /// Waits for the end: the exit code, or 128 + the signal's number, as a shell reports it.
    pub(crate) fn wait(self) -> rustix::io::Result<u8> {
        use std::os::fd::AsFd;
        loop {
            match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) => return Ok(exit_code(&status)),
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// The shell's convention for an ended process.
pub(crate) fn exit_code(status: &WaitIdStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(255);
    u8::try_from(code).unwrap_or(255)
}
