//! An image's layers as one read-only tree, for a process that is root of its mount namespace.

use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{Store, whiteout};
use crate::error::{Context, Error, Result};
use crate::image::digest::DiffId;
use crate::sys::mount::{Attributes, attach, change, copy_tree};

/// statx(2): the file is the root of a mount (Linux 5.8).
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

impl Store {
    /// Mounts `layers`, bottom first, on the directory `place`.
    pub(crate) fn mount_layers(&self, layers: &[DiffId], place: &Path) -> Result<()> {
        let failed = || format!("cannot mount the image on {}", place.display());
        let mut lower = Vec::with_capacity(layers.len());
        for layer in self.layers(layers)?.iter().rev() {
            let diff = layer.diff();
            let dir = openat(CWD, &diff, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .context(|| format!("cannot open {}", diff.display()))?;
            // overlayfs does not ask whether a layer's root is opaque.
            let opaque = std::fs::File::open(&diff).is_ok_and(whiteout::opaque);
            lower.push(dir);
            if opaque {
                break;
            }
        }
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        match lower.as_slice() {
            [] => mount("tmpfs", place, "tmpfs", flags, c"size=4k,mode=755").context(failed),
            // overlayfs wants two.
            [only] => (|| {
                let tree = copy_tree(only, c"", false)?;
                change(&tree, &Attributes::new(read_only(), 0, 0), false)?;
                attach(&tree, openat(CWD, place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
            })()
            .context(failed),
            several => {
                // Through descriptors, whose paths hold no colon or comma.
                let paths: Vec<String> =
                    several.iter().map(|dir| format!("/proc/self/fd/{}", dir.as_raw_fd())).collect();
                let options = CString::new(format!("userxattr,lowerdir={}", paths.join(":"))).context(failed)?;
                mount("overlay", place, "overlay", flags, options.as_c_str()).map_err(|e| {
                    let error = Error::wrap(failed(), std::io::Error::from(e));
                    match e {
                        Errno::INVAL | Errno::NODEV => {
                            error.hint("this kernel or file system has no overlayfs for users")
                        }
                        _ => error,
                    }
                })
            }
        }
    }
}

fn read_only() -> u64 {
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV
}

/// Whether something is mounted on `place`.
pub(crate) fn is_mounted(place: &Path) -> bool {
    let found = statx(CWD, place.as_os_str().as_bytes(), AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS);
    found.is_ok_and(|found| found.stx_attributes.bits() & STATX_ATTR_MOUNT_ROOT != 0)
}

/// Takes away what [`Store::mount_layers`] mounted.
pub(crate) fn unmount_layers(place: &Path) -> Result<()> {
    unmount(place, UnmountFlags::NOFOLLOW).context(|| format!("cannot unmount {}", place.display()))
}
