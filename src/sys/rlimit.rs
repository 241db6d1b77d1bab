//! setrlimit(2) with the kernel's own resource numbers.

use rustix::io::Errno;

/// One limit; `u64::MAX` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// RLIMIT_* (getrlimit(2)).
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// Sets a limit of this process.
pub(crate) fn set(limit: &Limit) -> Result<(), Errno> {
    let value = [limit.soft, limit.hard];
    // SAFETY: prlimit64 reads two 64-bit numbers and, with a null pointer, writes nothing.
    let result = unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, limit.resource, value.as_ptr(), std::ptr::null_mut::<libc::rlimit64>())
    };
    if result == 0 { Ok(()) } else { Err(super::last_errno()) }
}
