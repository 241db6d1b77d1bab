//! posix_spawn(3): starting a short-lived helper without copying this process's page tables.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};

/// A helper that runs.
#[derive(Debug)]
#[must_use]
pub(crate) struct Spawned(Pid);

/// Runs `args[0]` (a path) with an empty environment, `stderr` as its standard error, and everything else inherited.
/// The empty environment keeps a setuid helper from loading locales: half of its running time.
pub(crate) fn with_stderr(args: &[CString], stderr: &OwnedFd) -> Result<Spawned, Errno> {
    let program: &CStr = args.first().ok_or(Errno::INVAL)?;
    let argv: Vec<*mut libc::c_char> =
        args.iter().map(|arg| arg.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect();
    let environment = [std::ptr::null_mut::<libc::c_char>()];
    let mut pid = 0;
    let mut actions = std::mem::MaybeUninit::<libc::posix_spawn_file_actions_t>::uninit();
    // SAFETY: the actions are initialised before use and destroyed after; argv and the environment are
    // null-terminated arrays of C strings that outlive the call.
    let error = unsafe {
        let mut error = libc::posix_spawn_file_actions_init(actions.as_mut_ptr());
        if error == 0 {
            error = libc::posix_spawn_file_actions_adddup2(actions.as_mut_ptr(), stderr.as_raw_fd(), 2);
            if error == 0 {
                error = libc::posix_spawn(
                    &raw mut pid,
                    program.as_ptr(),
                    actions.as_ptr(),
                    std::ptr::null(),
                    argv.as_ptr(),
                    environment.as_ptr(),
                );
            }
            libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr());
        }
        error
    };
    if error != 0 {
        return Err(Errno::from_raw_os_error(error));
    }
    Pid::from_raw(pid).map(Spawned).ok_or(Errno::SRCH)
}

impl Spawned {
    /// Waits for the end: the exit code, or 128 + the signal's number.
    pub(crate) fn wait(self) -> Result<i32, Errno> {
        loop {
            match waitpid(Some(self.0), WaitOptions::empty()) {
                Ok(Some((_, status))) => {
                    return Ok(status.exit_status().or(status.terminating_signal().map(|s| 128 + s)).unwrap_or(255));
                }
                Ok(None) | Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
    }
}
