//! Running one hook. Allocates nothing: the container's first process does it as well.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create};
use rustix::io::{Errno, FdFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};

use super::Hook;
use crate::runtime::create::exit_status;
use crate::sys::clone::{Cloned, clone};
use crate::sys::process::exit_now;
use crate::sys::{exec, prctl};

/// What became of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtime) enum Ended {
    Exited(u8),
    TimedOut,
    NotRun(Errno),
}

impl Ended {
    /// As a number for a message of the runtime's.
    pub(in crate::runtime) fn to_number(self) -> i32 {
        match self {
            Self::Exited(code) => code.into(),
            Self::TimedOut => -1,
            Self::NotRun(errno) => -1 - errno.raw_os_error(),
        }
    }

    pub(in crate::runtime) fn from_number(number: i32) -> Self {
        match u8::try_from(number) {
            Ok(code) => Self::Exited(code),
            Err(_) if number == -1 => Self::TimedOut,
            Err(_) => Self::NotRun(Errno::from_raw_os_error(-1 - number)),
        }
    }
}

/// A file for what a hook writes: nobody has to read it meanwhile.
pub(in crate::runtime) fn output() -> Result<OwnedFd, Errno> {
    memfd_create(c"rpod-hook", MemfdFlags::CLOEXEC)
}

/// Runs `hook` with `state` as its standard input, until its end or that of its time.
pub(in crate::runtime) fn run(hook: &Hook, state: BorrowedFd<'_>, output: BorrowedFd<'_>) -> Ended {
    start(hook, state, output).map_or_else(Ended::NotRun, |pidfd| wait(hook, &pidfd))
}

/// Returns when the program runs.
fn start(hook: &Hook, state: BorrowedFd<'_>, output: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    rustix::fs::seek(state, SeekFrom::Start(0))?;
    let (report, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    match clone(0, None)? {
        Cloned::Child => execute(hook, [state, output, output], &theirs),
        Cloned::Parent(_, pidfd) => {
            drop(theirs);
            let mut errno = [0; 4];
            match rustix::io::read(&report, &mut errno)? {
                0 => Ok(pidfd),
                _ => {
                    exit_status(&pidfd);
                    Err(Errno::from_raw_os_error(i32::from_ne_bytes(errno)))
                }
            }
        }
    }
}

/// The child: says on `report` why it could not become the program.
fn execute(hook: &Hook, streams: [BorrowedFd<'_>; 3], report: &OwnedFd) -> ! {
    let result = become_program(hook, streams, report);
    let errno = result.err().unwrap_or(Errno::NOEXEC).raw_os_error();
    // Without a parent there is nobody to tell.
    let _ = rustix::io::write(report, &errno.to_ne_bytes());
    exit_now(127)
}

fn become_program(hook: &Hook, streams: [BorrowedFd<'_>; 3], report: &OwnedFd) -> Result<(), Errno> {
    rustix::process::setsid()?;
    exec::reset_signals()?;
    prctl::die_with_parent()?;
    for (number, stream) in (0..).zip(streams) {
        exec::place(stream, number)?;
    }
    // Its number is above the standard streams', which are open in every process of rpod's.
    let report = report.as_fd();
    rustix::io::fcntl_setfd(report, FdFlags::CLOEXEC)?;
    exec::close_between(3, report.as_raw_fd())?;
    exec::close_from(report.as_raw_fd() + 1)?;
    Err(exec::execute_path(&hook.path, &hook.arguments, &hook.environment))
}

fn wait(hook: &Hook, pidfd: &OwnedFd) -> Ended {
    let limit = hook.timeout.and_then(|time| Timespec::try_from(time).ok());
    let ready = loop {
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], limit.as_ref()) {
            Err(Errno::INTR) => {}
            result => break result,
        }
    };
    if ready == Ok(0) {
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
        exit_status(pidfd);
        return Ended::TimedOut;
    }
    Ended::Exited(exit_status(pidfd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_numbers() {
        for ended in [Ended::Exited(0), Ended::Exited(255), Ended::TimedOut, Ended::NotRun(Errno::NOENT)] {
            assert_eq!(Ended::from_number(ended.to_number()), ended);
        }
    }
}
