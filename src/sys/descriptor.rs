//! Open files of this process.

use std::os::fd::BorrowedFd;

use rustix::io::{FdFlags, fcntl_getfd};

/// Closes what this process was given beyond the standard streams: descriptors without close-on-exec, which is how
/// everything that rpod opens itself is marked. A shell's `3>file` or a build tool's pipe must not stay open in a
/// process that outlives the command.
pub(crate) fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // SAFETY: the number was open a moment ago and this process has one thread; the descriptor of the directory
        // listing itself, closed by now, gives EBADF.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if fcntl_getfd(fd).is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC)) {
            // SAFETY: nothing in this program owns a descriptor without close-on-exec.
            unsafe { libc::close(number) };
        }
    }
}
