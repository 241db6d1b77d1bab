//! Mounts by descriptor (fsopen(2), open_tree(2), move_mount(2), mount_setattr(2): Linux 5.12 for all of them).
//! A mount made this way is attached nowhere until it is told where, so no path can be redirected meanwhile.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

/// What changes on a mount (mount_setattr(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct Attributes {
    /// MOUNT_ATTR_* bits to set.
    pub set: u64,
    /// MOUNT_ATTR_* bits to clear.
    pub clear: u64,
    /// MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE; 0 leaves it.
    pub propagation: u64,
    user_namespace: u64,
}

impl Attributes {
    pub(crate) fn new(set: u64, clear: u64, propagation: u64) -> Self {
        Self { set, clear, propagation, user_namespace: 0 }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// A new instance of a file system, attached nowhere. `attributes` are MOUNT_ATTR_* bits.
pub(crate) fn new_filesystem(
    kind: &CStr,
    options: &[(impl AsRef<CStr>, Option<impl AsRef<CStr>>)],
    attributes: u64,
) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        match value {
            Some(value) => fsconfig_set_string(context.as_fd(), key.as_ref(), value.as_ref())?,
            None => fsconfig_set_flag(context.as_fd(), key.as_ref())?,
        }
    }
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::from_bits_retain(attributes as libc::c_uint);
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A copy of the mount at `path` (relative to `dir`; empty: `dir` itself), attached nowhere.
pub(crate) fn copy_tree(dir: impl AsFd, path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(dir.as_fd(), path, flags)
}

/// Attaches `mount` on top of what `place` names.
pub(crate) fn attach(mount: impl AsFd, place: impl AsFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount.as_fd(), c"", place.as_fd(), c"", flags)
}

/// Changes the mount `mount` refers to; `recursive` includes everything mounted below.
pub(crate) fn change(mount: impl AsFd, attributes: &Attributes, recursive: bool) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the attributes are a `struct mount_attr` of the size given, and the path is an empty C string.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<Attributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(super::last_errno()) }
}
