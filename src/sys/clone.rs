//! clone3(2) with new namespaces, in the manner of fork(2).
//!
//! The child runs on a copy of the parent's memory made behind the C library's back: it must call nothing but system
//! calls until it executes a program or exits (no allocation, no locks, no thread functions).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

/// Which side of the clone this is.
#[derive(Debug)]
pub(crate) enum Cloned {
    /// With the child's pidfd.
    Parent(Pid, OwnedFd),
    Child,
}

/// Clones this process. `flags` are CLONE_NEW* bits and CLONE_PARENT; `cgroup` is the cgroup v2 directory to be born in.
pub(crate) fn clone(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned, Errno> {
    let mut pidfd: libc::c_int = -1;
    let flags = flags | libc::CLONE_PIDFD as u64 | cgroup.map_or(0, |_| CLONE_INTO_CGROUP);
    // With CLONE_PARENT the signal is the parent's own, and naming one is an error.
    let signal = if flags & libc::CLONE_PARENT as u64 == 0 { libc::SIGCHLD as u64 } else { 0 };
    let args = CloneArgs {
        flags,
        pidfd: (&raw mut pidfd).addr() as u64,
        exit_signal: signal,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    // SAFETY: no memory is shared with the child and the stack is kept (fork semantics); the arguments live on this frame.
    let mut result = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    if result == -1 && super::last_errno() == Errno::NOSYS && cgroup.is_none() {
        // Seccomp profiles of older container engines hide clone3 because they cannot look into its arguments.
        // SAFETY: as above; with CLONE_PIDFD the kernel writes the descriptor to the parent-tid argument.
        result = unsafe { raw_clone(flags | signal, &raw mut pidfd) };
    }
    match libc::pid_t::try_from(result) {
        Ok(0) => Ok(Cloned::Child),
        Ok(pid) if pid > 0 => {
            let pid = Pid::from_raw(pid).ok_or(Errno::INVAL)?;
            // SAFETY: the kernel made this descriptor for us (close-on-exec) and nobody else knows it.
            Ok(Cloned::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
        }
        _ => Err(super::last_errno()),
    }
}

/// clone(2) without a stack of its own. The order of the last arguments differs between architectures, but they are zero.
///
/// # Safety
/// `flags` share nothing with the child; `pidfd` is writable.
unsafe fn raw_clone(flags: u64, pidfd: *mut libc::c_int) -> libc::c_long {
    // SAFETY: by the caller's promise.
    unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, pidfd, 0usize, 0usize) }
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` (linux/sched.h), as of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}
