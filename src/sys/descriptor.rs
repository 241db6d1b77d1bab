//! Open files of this process.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_getfd};

/// Closes what this process was given beyond the standard streams: descriptors without close-on-exec, which is how
/// everything that rpod opens itself is marked. A shell's `3>file` or a build tool's pipe must not stay open in a
/// process that outlives the command.
pub(crate) fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        if is_inherited(number) {
            // SAFETY: nothing in this program owns a descriptor without close-on-exec.
            unsafe { libc::close(number) };
        }
    }
}

/// Whether this process was given the descriptor.
pub(crate) fn is_inherited(number: i32) -> bool {
    if number < 0 {
        return false;
    }
    // SAFETY: asked for its flags only; a number that is not open gives EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_getfd(fd).is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC))
}

/// A copy of a descriptor that this process was given, close-on-exec and with a number of at least `least`; `None` when
/// there is none of that number.
pub(crate) fn inherited(number: i32, least: i32) -> Result<Option<OwnedFd>, Errno> {
    if !is_inherited(number) {
        return Ok(None);
    }
    // SAFETY: it is open, and nothing in this program closes what it was given while it copies it.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_dupfd_cloexec(fd, least).map(Some)
}
