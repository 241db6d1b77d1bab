//! How "removed" and "nothing from below" are written in an unpacked layer: in overlayfs's own form (kernel
//! documentation, overlayfs.rst, "whiteouts and opaque directories"), or in the nearest that the file system can hold.
//!
//! ```text
//! removed     character device 0/0 (Linux 5.8 lets anybody make one); else an empty file with user.overlay.whiteout
//!             in a directory with user.overlay.opaque=x (Linux 6.7)
//! opaque      user.overlay.opaque=y; else an empty file named .wh..wh..opq (fuse-overlayfs knows and makes it)
//! ```

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, XattrFlags, fgetxattr, fsetxattr, mknodat, openat, statat};
use rustix::io::Errno;

/// The prefix of whiteouts in a layer's tar (OCI image spec, "Whiteouts").
pub(super) const PREFIX: &[u8] = b".wh.";
/// Marks its directory as opaque.
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";
/// Prefix of what AUFS kept for itself in a layer.
pub(super) const AUFS: &[u8] = b".wh..wh.";

/// The attribute that makes a directory opaque.
pub(super) const OPAQUE_ATTRIBUTE: &str = "user.overlay.opaque";
const WHITEOUT_ATTRIBUTE: &str = "user.overlay.whiteout";

/// Hides `name` of the layers below.
pub(super) fn make(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
        Err(Errno::PERM | Errno::NOTSUP) => {}
        result => return result,
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
    fsetxattr(&file, WHITEOUT_ATTRIBUTE, b"y", XattrFlags::empty())?;
    if !opaque(parent) {
        fsetxattr(parent, OPAQUE_ATTRIBUTE, b"x", XattrFlags::empty())?;
    }
    Ok(())
}

/// Hides everything that the layers below have in `directory`.
pub(super) fn make_opaque(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    match fsetxattr(directory, OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty()) {
        Err(Errno::NOTSUP | Errno::PERM) => {}
        result => return result,
    }
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, OPAQUE, flags, Mode::from_raw_mode(0o600)).map(drop)
}

/// Whether `stat`, of `name` in `parent`, is a whiteout.
pub(super) fn is(parent: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> bool {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => stat.st_rdev == 0,
        FileType::RegularFile if stat.st_size == 0 && stat.st_nlink == 1 => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let mut value = [0u8; 4];
            openat(parent, name, flags, Mode::empty())
                .and_then(|file| fgetxattr(&file, WHITEOUT_ATTRIBUTE, &mut value))
                .is_ok()
        }
        _ => false,
    }
}

/// Whether nothing from the layers below shows in `directory`.
pub(super) fn opaque(directory: impl AsFd) -> bool {
    let mut value = [0u8; 4];
    match fgetxattr(&directory, OPAQUE_ATTRIBUTE, &mut value) {
        Ok(1) => value[0] == b'y',
        // Only where attributes are not to be had is the file made.
        Err(Errno::NOTSUP) => opaque_by_file(&directory),
        _ => false,
    }
}

/// Whether `directory` is opaque as fuse-overlayfs writes it in an upper directory.
pub(super) fn opaque_by_file(directory: impl AsFd) -> bool {
    statat(&directory, OPAQUE, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}
