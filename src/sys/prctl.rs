//! prctl(2) by number, for what rustix does not offer without allocation or types of its own.

use rustix::io::Errno;

/// An operation with one argument.
pub(crate) fn call(operation: libc::c_int, argument: u64) -> Result<libc::c_int, Errno> {
    call2(operation, argument, 0)
}

/// An operation with two arguments. Only for operations whose arguments are numbers.
pub(crate) fn call2(operation: libc::c_int, first: u64, second: u64) -> Result<libc::c_int, Errno> {
    // SAFETY: the operations used take numbers, no pointers.
    let result = unsafe { libc::prctl(operation, first, second, 0u64, 0u64) };
    if result < 0 { Err(super::last_errno()) } else { Ok(result) }
}

/// PR_SET_DUMPABLE 0: no ptrace, no core, and /proc/PID belongs to the host's root as seen from the container.
pub(crate) fn set_not_dumpable() -> Result<(), Errno> {
    call(libc::PR_SET_DUMPABLE, 0).map(drop)
}

/// PR_SET_KEEPCAPS: the permitted set survives leaving user id 0.
pub(crate) fn keep_capabilities() -> Result<(), Errno> {
    call(libc::PR_SET_KEEPCAPS, 1).map(drop)
}

/// PR_SET_NO_NEW_PRIVS.
pub(crate) fn set_no_new_privileges() -> Result<(), Errno> {
    call(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// PR_SET_PDEATHSIG: this process is killed when its parent ends.
pub(crate) fn die_with_parent() -> Result<(), Errno> {
    call(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64).map(drop)
}

/// Undoes [`die_with_parent`].
pub(crate) fn outlive_parent() -> Result<(), Errno> {
    call(libc::PR_SET_PDEATHSIG, 0).map(drop)
}

/// PR_SET_CHILD_SUBREAPER: orphaned descendants become children of this process.
pub(crate) fn set_subreaper() -> Result<(), Errno> {
    call(libc::PR_SET_CHILD_SUBREAPER, 1).map(drop)
}
