//! Signal-driven I/O (fcntl(2), F_SETOWN and F_SETSIG) as a leash.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

/// Has the kernel kill `process` when the other end of this pipe is closed by its last holder, however that ended. The process
/// must hold the pipe itself and be of the caller's user. It works across user namespaces, which clear a parent-death signal.
pub(crate) fn kill_when_peer_closes(pipe: &OwnedFd, process: Pid) -> Result<(), Errno> {
    let fd = pipe.as_raw_fd();
    let set = |operation: libc::c_int, value: libc::c_int| {
        // SAFETY: these operations take a descriptor and a number.
        if unsafe { libc::fcntl(fd, operation, value) } == -1 { Err(super::last_errno()) } else { Ok(()) }
    };
    set(F_SETSIG, libc::SIGKILL)?;
    set(libc::F_SETOWN, process.as_raw_nonzero().get())?;
    set(libc::F_SETFL, libc::O_ASYNC)
}

/// fcntl(2); the libc crate has it for few targets.
const F_SETSIG: libc::c_int = 10;
