//! seccomp(2): loading a filter program.

use rustix::io::Errno;

/// A compiled filter.
#[derive(Clone)]
pub(crate) struct Filter {
    pub program: Vec<libc::sock_filter>,
    /// SECCOMP_FILTER_FLAG_* bits.
    pub flags: libc::c_ulong,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} instructions, flags {:#x}", self.program.len(), self.flags)
    }
}

/// Loads `filter` for this thread. Needs no_new_privs or CAP_SYS_ADMIN in the user namespace.
pub(crate) fn load(filter: &Filter) -> Result<(), Errno> {
    let len = libc::c_ushort::try_from(filter.program.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog { len, filter: filter.program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions from the vector.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, filter.flags, std::ptr::from_ref(&program))
    };
    if result == 0 { Ok(()) } else { Err(super::last_errno()) }
}
