//! namespaces(7): unshare(2) and setns(2).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::caps;

/// Moves this process into new namespaces of the given types.
pub(crate) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: only namespace flags are passed: no descriptor table is unshared behind Rust's back.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Moves this process into the namespaces (CLONE_NEW* bits) of a namespace file or, since Linux 5.8, of a pidfd's process.
pub(crate) fn setns(fd: BorrowedFd<'_>, kinds: libc::c_int) -> Result<(), Errno> {
    // SAFETY: setns takes an open descriptor and flags and touches no memory of this process.
    if unsafe { libc::setns(fd.as_raw_fd(), kinds) } == 0 { Ok(()) } else { Err(super::last_errno()) }
}

/// The parent of a user namespace (ioctl_ns(2), NS_GET_PARENT).
pub(crate) fn parent(user: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    const NS_GET_PARENT: u64 = 0xb702;
    descriptor(user, NS_GET_PARENT)
}

/// Has a program start in another user namespace, with all of its capabilities.
pub(crate) fn enter_before_exec(command: &mut std::process::Command, user: OwnedFd) {
    use std::os::fd::AsFd;
    use std::os::unix::process::CommandExt;
    let enter = move || {
        setns(user.as_fd(), libc::CLONE_NEWUSER)?;
        if !rustix::process::geteuid().is_root() {
            // A namespace whose only id is not root's: executing a program takes from others what is not ambient.
            let all = caps::all_known();
            caps::set(all, all, all)?;
            caps::set_ambient(all)?;
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only and allocates nothing.
    unsafe { command.pre_exec(enter) };
}

/// The user namespace that owns a namespace (ioctl_ns(2), NS_GET_USERNS).
///
/// # Errors
/// PERM when that is one above the caller's own.
pub(crate) fn owner(namespace: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    const NS_GET_USERNS: u64 = 0xb701;
    descriptor(namespace, NS_GET_USERNS)
}

/// The network namespace that a socket belongs to (SIOCGSKNS, Linux 4.10). Needs CAP_NET_ADMIN over it.
pub(crate) fn of_socket(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    const SIOCGSKNS: u64 = 0x894c;
    descriptor(socket, SIOCGSKNS)
}

/// An ioctl without an argument that answers a new descriptor.
fn descriptor(fd: BorrowedFd<'_>, request: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: the requests take no argument and touch no memory; what they answer is a new descriptor of ours.
    unsafe {
        match libc::ioctl(fd.as_raw_fd(), request as _) {
            -1 => Err(super::last_errno()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}
