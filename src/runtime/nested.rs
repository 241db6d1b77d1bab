//! A user namespace made inside another one than the caller's.
//!
//! Only its creator's namespace may map ids for it, so the process that goes between does that: it has entered the
//! outer namespace, has all rights there, and newuidmap is not needed. It stays dumpable, as its child's maps could not be
//! opened else; nobody but the owner of the outer namespace could look into it, for what that namespace holds are
//! rpod's own helpers.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use super::Bundle;
use super::child::{self, State};
use super::create::Process;
use super::protocol::{self, Kind};
use crate::error::{Error, Result};
use crate::sys::clone::{Cloned, clone};
use crate::sys::namespace;
use crate::sys::process::exit_now;
use crate::userns::IdMaps;

/// Where the new namespace is made, and its ids.
pub(super) struct Nested<'a> {
    user: BorrowedFd<'a>,
    maps: MapText,
}

/// Both maps as the kernel reads them.
#[derive(Debug)]
struct MapText {
    uids: String,
    gids: String,
}

impl MapText {
    /// `maps` as seen from a namespace that has the ids `outer`.
    fn new(maps: &IdMaps, outer: &IdMaps) -> Result<Self> {
        let inner = maps.within(outer).ok_or_else(|| {
            Error::new("the container's ids are not all among those of the netkeeper")
                .hint("the user's subordinate ids were changed: stop the containers on bridge networks first")
        })?;
        let (uids, gids) = inner.texts();
        Ok(Self { uids, gids })
    }
}

impl<'a> Nested<'a> {
    /// `None` for a namespace made in the caller's.
    pub(super) fn of(bundle: &Bundle<'a>) -> Result<Option<Self>> {
        match (bundle.parent, bundle.maps) {
            (Some((user, outer)), Some(maps)) => Ok(Some(Self { user, maps: MapText::new(maps, outer)? })),
            _ => Ok(None),
        }
    }

    /// Enters the outer namespace, clones the process as a sibling, maps its ids and tells its number.
    pub(super) fn go_between(&self, process: &Process<'_>, state: &mut State<'_>, caller: &OwnedFd) -> ! {
        let entered = namespace::setns(self.user, libc::CLONE_NEWUSER);
        let cloned = entered.and_then(|()| clone(process.plan.namespaces | libc::CLONE_PARENT as u64, process.cgroup));
        // Errors in here mean that the caller has gone.
        let _ = match cloned {
            Ok(Cloned::Child) => child::run(state),
            Ok(Cloned::Parent(pid, pidfd)) => match self.map(pid) {
                Ok(()) => protocol::send(caller, Kind::Pid, 0, pid.as_raw_nonzero().get(), None),
                Err(e) => {
                    let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
                    protocol::send(caller, Kind::Failed, 0, e.raw_os_error(), None)
                }
            },
            Err(e) => protocol::send(caller, Kind::Failed, 0, e.raw_os_error(), None),
        };
        exit_now(0)
    }

    /// One write for each map (user_namespaces(7)). Allocates nothing.
    fn map(&self, pid: Pid) -> Result<(), Errno> {
        for (file, text) in [("/uid_map", &self.maps.uids), ("/gid_map", &self.maps.gids)] {
            let mut path = Path::new();
            path.push(b"/proc/");
            path.push_number(pid.as_raw_nonzero().get().unsigned_abs());
            path.push(file.as_bytes());
            let file = rustix::fs::open(path.as_bytes(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
            if rustix::io::write(&file, text.as_bytes())? != text.len() {
                return Err(Errno::IO);
            }
        }
        Ok(())
    }
}

/// A short path on the stack.
struct Path {
    bytes: [u8; 40],
    length: usize,
}

impl Path {
    fn new() -> Self {
        Self { bytes: [0; 40], length: 0 }
    }

    fn push(&mut self, more: &[u8]) {
        for (place, byte) in self.bytes.iter_mut().skip(self.length).zip(more) {
            *place = *byte;
        }
        self.length = self.bytes.len().min(self.length + more.len());
    }

    fn push_number(&mut self, mut number: u32) {
        let mut digits = [0u8; 10];
        let mut first = digits.len();
        while first > 0 {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[first..]);
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_without_allocation() {
        for (number, expected) in
            [(0, "/proc/0/x"), (7, "/proc/7/x"), (4_194_304, "/proc/4194304/x"), (u32::MAX, "/proc/4294967295/x")]
        {
            let mut path = Path::new();
            path.push(b"/proc/");
            path.push_number(number);
            path.push(b"/x");
            assert_eq!(path.as_bytes(), expected.as_bytes());
        }
    }
}
