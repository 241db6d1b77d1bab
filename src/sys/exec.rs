//! The last steps before another program takes over this process.

use std::ffi::{CStr, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::io::Errno;

/// A null-terminated array of C strings for execve(2), made before the clone.
#[derive(Debug)]
pub(crate) struct Strings {
    pointers: Vec<*const c_char>,
    /// What the pointers point to.
    _owned: Vec<std::ffi::CString>,
}

impl Strings {
    pub(crate) fn new(owned: Vec<std::ffi::CString>) -> Self {
        let pointers = owned.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Self { pointers, _owned: owned }
    }
}

/// execveat(2) of an open file: returns only when it failed.
pub(crate) fn execute(program: BorrowedFd<'_>, arguments: &Strings, environment: &Strings) -> Errno {
    // SAFETY: both arrays are null-terminated and their strings live as long as they do.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    super::last_errno()
}

/// execve(2) of a path: returns only when it failed.
pub(crate) fn execute_path(path: &CStr, arguments: &Strings, environment: &Strings) -> Errno {
    // SAFETY: as in `execute`.
    unsafe {
        libc::execve(path.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr());
    }
    super::last_errno()
}

/// Closes every descriptor from `first` on (close_range(2), Linux 5.9).
pub(crate) fn close_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: the callers own nothing behind these descriptors any more; a Rust owner of one is never dropped, because
    // the process executes another program or exits.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(super::last_errno()) }
}

/// [`close_from`] up to `end`, which stays open.
pub(crate) fn close_between(first: RawFd, end: RawFd) -> Result<(), Errno> {
    if first >= end {
        return Ok(());
    }
    // SAFETY: as in `close_from`.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, end - 1, 0) };
    if result == 0 { Ok(()) } else { Err(super::last_errno()) }
}

/// dup2(2): the new descriptor survives execve. Answers it, for a process that executes a program or exits.
pub(crate) fn place(fd: BorrowedFd<'_>, number: RawFd) -> Result<BorrowedFd<'static>, Errno> {
    // SAFETY: the descriptor at `number`, if any, belongs to nobody in a process about to execute a program.
    let result = unsafe { libc::dup3(fd.as_raw_fd(), number, 0) };
    if result < 0 {
        return Err(super::last_errno());
    }
    // SAFETY: just made, and never closed by anybody but the exec.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Undoes what this process inherited: ignored signals (Rust's start code ignores SIGPIPE) and the signal mask.
pub(crate) fn reset_signals() -> Result<(), Errno> {
    let default = [0u64; 4];
    for signal in (1..=64).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(s)) {
        // SAFETY: a zeroed kernel sigaction is SIG_DFL without flags; the kernel reads at most these 32 bytes.
        let result = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0usize, 8usize) };
        if result != 0 {
            return Err(super::last_errno());
        }
    }
    let empty = 0u64;
    // SAFETY: the kernel reads a 64-bit mask.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, std::ptr::from_ref(&empty), 0usize, 8usize)
    };
    if result == 0 { Ok(()) } else { Err(super::last_errno()) }
}

/// getcwd(2) into a buffer: whether the working directory lies below this process's root. The kernel puts
/// "(unreachable)" before the path of one that does not.
pub(crate) fn working_directory_is_inside() -> Result<bool, Errno> {
    let mut buffer = [0 as c_char; 4096];
    // SAFETY: the kernel writes at most the buffer's length.
    let result = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    if result < 0 {
        return Err(super::last_errno());
    }
    Ok(buffer[0] == b'/' as c_char)
}

/// Sets the controlling terminal (ioctl_tty(2), TIOCSCTTY).
pub(crate) fn set_controlling_terminal(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the argument is a number.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) };
    if result == 0 { Ok(()) } else { Err(super::last_errno()) }
}

/// sethostname(2) and setdomainname(2) of this UTS namespace.
pub(crate) fn set_names(host: Option<&CStr>, domain: Option<&CStr>) -> Result<(), Errno> {
    if let Some(name) = host {
        rustix::system::sethostname(name.to_bytes())?;
    }
    if let Some(name) = domain {
        rustix::system::setdomainname(name.to_bytes())?;
    }
    Ok(())
}
