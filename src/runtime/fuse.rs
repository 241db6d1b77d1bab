//! A root file system served by fuse-overlayfs.
//!
//! Only the user namespace that mounts a FUSE file system may use it, so the program runs in the container's user
//! namespace, but in a mount namespace of its own and outside the container's pid namespace. The mount comes back as a
//! descriptor; the namespace it was made in ends with the helper, so the container holds the only reference, and
//! fuse-overlayfs ends when the container's last process does, whatever became of rpod.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::UnshareFlags;

use super::protocol::{self, Kind};
use crate::error::{Context, Error, Result};
use crate::sys::mount::copy_tree;
use crate::sys::process::{Fork, exit_now, fork};
use crate::sys::{exec, message, namespace, prctl};

/// Mounts for the process `owner`, whose ids are mapped. For a single-threaded process.
pub(super) fn mount(
    owner: BorrowedFd<'_>,
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    program: &Path,
) -> Result<OwnedFd> {
    let failed = || "cannot mount the container's root with fuse-overlayfs";
    let options = options(lower, upper, work)?;
    let (channel, theirs) = message::pair().context(failed)?;
    let child = match fork().context(failed)? {
        Fork::Child => {
            let code = match serve(owner, upper, program, &options) {
                Ok(mount) => protocol::send(&theirs, Kind::Device, 0, 0, Some(std::os::fd::AsFd::as_fd(&mount))),
                Err(e) => protocol::send(&theirs, Kind::Failed, 0, e.raw_os_error(), None),
            };
            exit_now(u8::from(code.is_err()))
        }
        Fork::Parent(child) => child,
    };
    drop(theirs);
    let answer = protocol::receive(&channel).context(failed)?;
    child.wait().context(failed)?;
    match answer {
        Some(message) if message.kind == Kind::Device => message.fd.ok_or_else(|| Error::new(failed())),
        Some(message) => Err(Error::wrap(failed(), std::io::Error::from_raw_os_error(message.value))
            .hint("try --storage-driver=copy, and check that /dev/fuse can be opened by this user")),
        None => Err(Error::new(failed())),
    }
}

/// fuse-overlayfs takes `\` before what would end a path.
fn options(lower: &[PathBuf], upper: &Path, work: &Path) -> Result<CString> {
    let mut text = Vec::new();
    let mut add = |before: &[u8], path: &Path| {
        text.extend_from_slice(before);
        for byte in path.as_os_str().as_bytes() {
            if b"\\:,".contains(byte) {
                text.push(b'\\');
            }
            text.push(*byte);
        }
    };
    for (index, layer) in lower.iter().enumerate() {
        add(if index == 0 { b"lowerdir=" } else { b":" }, layer);
    }
    add(b",upperdir=", upper);
    add(b",workdir=", work);
    CString::new(text).context(|| "a layer's path has a zero byte")
}

/// In the child: enter, mount, take the mount out of here.
fn serve(
    owner: BorrowedFd<'_>,
    upper: &Path,
    program: &Path,
    options: &CString,
) -> std::result::Result<OwnedFd, Errno> {
    prctl::set_not_dumpable()?;
    namespace::setns(owner, libc::CLONE_NEWUSER)?;
    namespace::unshare(UnshareFlags::NEWNS)?;
    let (uid, gid) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    let place = CString::new(upper.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    let program = CString::new(program.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    let arguments = exec::Strings::new(vec![program.clone(), c"-o".into(), options.clone(), place.clone()]);
    match crate::sys::clone::clone(0, None)? {
        crate::sys::clone::Cloned::Child => {
            let environment = exec::Strings::new(Vec::new());
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
            if let Ok(file) = rustix::fs::open(&program, flags, rustix::fs::Mode::empty()) {
                exec::execute(std::os::fd::AsFd::as_fd(&file), &arguments, &environment);
            }
            exit_now(126)
        }
        // The program goes into the background once the file system is there.
        crate::sys::clone::Cloned::Parent(_, pidfd) => match super::create::exit_status(&pidfd) {
            0 => {}
            _ => return Err(Errno::IO),
        },
    }
    let mount = copy_tree(rustix::fs::CWD, &place, false)?;
    // fuse-overlayfs keeps this namespace alive; its own view of the mount must not keep the mount alive.
    unmount(&place, UnmountFlags::DETACH)?;
    Ok(mount)
}
