//! Ends a container whose caller was killed, where the kernel cannot do it: a process made by another runtime has no parent-death
//! signal of ours.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::error::{Context, Result};
use crate::sys::process::{Child, Fork, exit_now, fork};
use crate::sys::{close, signal};

/// A process that waits for the end of its caller or of the container. Dropped, it goes.
#[derive(Debug)]
pub(crate) struct Guard(Option<Child>);

impl Guard {
    /// For a single-threaded process.
    pub(super) fn new(container: &OwnedFd) -> Result<Self> {
        let what = || "cannot watch over the container";
        let caller = pidfd_open(getpid(), PidfdFlags::empty()).context(what)?;
        match fork().context(what)? {
            Fork::Parent(child) => Ok(Self(Some(child))),
            Fork::Child => {
                close::all_but(vec![caller.as_fd(), container.as_fd()]);
                let _ = rustix::thread::set_name(c"rpod-guard");
                loop {
                    let mut fds = [PollFd::new(&caller, PollFlags::IN), PollFd::new(container, PollFlags::IN)];
                    if poll(&mut fds, None).is_err() {
                        continue;
                    }
                    if !fds[1].revents().is_empty() {
                        exit_now(0);
                    }
                    // It may have ended in this moment.
                    let _ = signal::send(container.as_fd(), libc::SIGKILL);
                    exit_now(0);
                }
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            // An error means that it has ended.
            let _ = signal::send(child.pidfd.as_fd(), libc::SIGKILL);
            let _ = child.wait();
        }
    }
}
