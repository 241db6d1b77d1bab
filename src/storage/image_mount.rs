//! An image's layers as one read-only tree, for a process that is root of its mount namespace.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::Store;
use crate::error::{Context, Error, Result};
use crate::image::digest::DiffId;
use crate::sys::mount::{Attributes, attach, change, copy_tree};
use crate::sys::overlay::Overlay;

/// statx(2): the file is the root of a mount (Linux 5.8).
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

impl Store {
    /// Mounts `layers`, bottom first, on the directory `place`.
    pub(crate) fn mount_layers(&self, layers: &[DiffId], place: &Path) -> Result<()> {
        let failed = || format!("cannot mount the image on {}", place.display());
        let directory = |diff: &PathBuf| {
            openat(CWD, diff, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .context(|| format!("cannot open {}", diff.display()))
        };
        let lower = self.lower_directories(layers)?.iter().map(directory).collect::<Result<Vec<_>>>()?;
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
                let mut overlay = Overlay::new();
                let mounted = several.iter().try_for_each(|layer| overlay.lower(layer)).and_then(|()| {
                    overlay.mount(openat(CWD, place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?, flags)
                });
                mounted.map_err(|e| {
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
