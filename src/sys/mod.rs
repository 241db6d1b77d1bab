//! Every unsafe block and raw system call. One file per kernel topic; each call is a thin, safe function
//! whose documentation names the man page. Nothing here knows what a container is.
#![allow(unsafe_code)]

pub(crate) mod caps;
pub(crate) mod clone;
pub(crate) mod close;
pub(crate) mod datagrams;
pub(crate) mod descriptor;
pub(crate) mod descriptor_signal;
pub(crate) mod detach;
pub(crate) mod exec;
pub(crate) mod file;
pub(crate) mod keyring;
pub(crate) mod lookup;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod netlink;
pub(crate) mod overlay;
pub(crate) mod prctl;
pub(crate) mod process;
pub(crate) mod rlimit;
#[cfg(test)]
pub(crate) mod scenario;
pub(crate) mod seccomp;
pub(crate) mod share;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod spawn;
pub(crate) mod text;
pub(crate) mod tty;
pub(crate) mod tun;
pub(crate) mod umask;

/// What the last failed call of the C library left in errno(3).
fn last_errno() -> rustix::io::Errno {
    let error = std::io::Error::last_os_error();
    rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)
}
