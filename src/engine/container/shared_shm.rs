//! `--ipc container:X`: the container has X's /dev/shm together with its IPC namespace.
//!
//! A mount can be copied by a process in the mount namespace that it is in, and nobody comes back from there to the
//! host's. So a forked child goes there, and sends the copy, which is attached nowhere.

use std::os::fd::{AsFd, OwnedFd};

use oci_spec::runtime::{Mount, Spec};
use rustix::fs::{CWD, Mode, OFlags};

use super::joining;
use crate::error::{Context, Error, Result};
use crate::state::paths::Dirs;
use crate::sys::process::{Fork, exit_now, fork};
use crate::sys::{message, mount, namespace, prctl};

/// A copy of what the container has there that the plan names in the place of its source. For a single-threaded process.
pub(super) fn at_start(dirs: &Dirs, spec: &Spec) -> Result<Option<OwnedFd>> {
    let from = |mount: &Mount| mount.source().as_deref().and_then(joining::container_of);
    let Some(id) = spec.mounts().iter().flatten().find_map(from) else { return Ok(None) };
    let donor = joining::running(dirs, &id)?;
    let failed = || format!("cannot share the /dev/shm of container {id}");
    let (ours, theirs) = message::pair().context(failed)?;
    match fork().context(failed)? {
        Fork::Child => {
            drop(ours);
            let sent = copy(&donor).and_then(|copy| message::send(&theirs, &[0], Some(copy.as_fd())));
            exit_now(match sent {
                Ok(()) => 0,
                Err(e) => u8::try_from(e.raw_os_error()).unwrap_or(255),
            })
        }
        Fork::Parent(child) => {
            drop(theirs);
            let received = message::receive(&ours, &mut [0]);
            match child.wait().context(failed)? {
                0 => {
                    let (_, copy) = received.context(failed)?;
                    copy.map(Some).ok_or_else(|| Error::new(failed()))
                }
                code => Err(Error::wrap(failed(), std::io::Error::from_raw_os_error(i32::from(code)))),
            }
        }
    }
}

/// In the other container's user and mount namespace, where its programs might look at this process.
fn copy(donor: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    prctl::set_not_dumpable()?;
    match namespace::setns(donor.as_fd(), libc::CLONE_NEWUSER | libc::CLONE_NEWNS) {
        // Its user namespace is this process's own.
        Err(rustix::io::Errno::INVAL) => namespace::setns(donor.as_fd(), libc::CLONE_NEWNS)?,
        entered => entered?,
    }
    // A program in there may have put a link in the place.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let shm = rustix::fs::openat(CWD, c"/dev/shm", flags, Mode::empty())?;
    mount::copy_tree(shm, c"", false)
}
