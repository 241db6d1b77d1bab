//! Becoming a process of one's own.

use std::ffi::CStr;

use rustix::fs::{Mode, OFlags};

use super::descriptor;

/// The session, directory and files of the caller are not a process's that outlives it, which gets a name of its own.
pub(crate) fn leave_caller(name: &CStr) {
    // Fails only for a group leader, which a fresh child is not.
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let _ = rustix::thread::set_name(name);
    descriptor::close_inherited();
    if let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}
