//! Kernel keyrings (keyrings(7), keyctl(2)).

use rustix::io::Errno;

/// KEYCTL_JOIN_SESSION_KEYRING without a name: this process, and those it starts, have a new and empty session keyring
/// instead of the caller's. No error where the kernel has no keys, or lets nobody ask for them (another container's
/// system call filter): nothing can be read there either.
///
/// # Errors
/// EDQUOT at `kernel.keys.maxkeys` keys of one user.
pub(crate) fn join_new_session() -> Result<(), Errno> {
    // SAFETY: the operation takes a name or, as here, a null pointer.
    let result =
        unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    match super::last_errno() {
        _ if result >= 0 => Ok(()),
        Errno::NOSYS | Errno::PERM | Errno::ACCESS => Ok(()),
        errno => Err(errno),
    }
}
