//! Every unsafe block and raw system call. One file per kernel topic; each call is a thin, safe function
//! whose documentation names the man page. Nothing here knows what a container is.
#![allow(unsafe_code)]

pub(crate) mod file;
pub(crate) mod namespace;
pub(crate) mod process;
#[cfg(test)]
pub(crate) mod scenario;
pub(crate) mod spawn;

/// What the last failed call of the C library left in errno(3).
fn last_errno() -> rustix::io::Errno {
    let error = std::io::Error::last_os_error();
    rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)
}
