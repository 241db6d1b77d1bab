//! Open files of this process.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// close_range(2) of everything but the standard descriptors and `kept`. For a forked child that never comes back to
/// code which owns descriptors.
pub(crate) fn close_all_but(kept: impl AsFd) -> Result<(), Errno> {
    let kept = kept.as_fd().as_raw_fd().unsigned_abs();
    if kept > 3 {
        close_range(3, kept - 1)?;
    }
    close_range(kept.max(2) + 1, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: the caller's process does not use what it owned before any more.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 { Ok(()) } else { Err(super::last_errno()) }
}
