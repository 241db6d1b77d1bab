//! close_range(2), since Linux 5.9.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Closes every descriptor but the standard streams and these. For a forked process that will not return to code which owns
/// others: their owners must never be dropped.
pub(crate) fn all_but(keep: Vec<BorrowedFd<'_>>) {
    let mut numbers: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok()).collect();
    numbers.sort_unstable();
    let mut first = 3;
    for number in numbers {
        if number > first {
            close_range(first, number - 1);
        }
        first = first.max(number + 1);
    }
    close_range(first, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: by the caller's promise nobody uses these descriptors any more. The call cannot fail for such arguments.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}
