//! Owner, mode, extended attributes and times of what was unpacked. What this user or file system cannot hold is
//! counted and left out: `entries.zst` remembers it.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, Mode, Stat, Timespec, Timestamps, XattrFlags, chownat, fchmod, fchown, fsetxattr, futimens, lsetxattr,
    utimensat,
};
use rustix::io::Errno;

use super::entry::{Attributes, Time};
use crate::error::{Context, Result};
use crate::storage::layer::Skipped;
use crate::userns::{IdMaps, owner};

/// Sets attributes, and counts those it could not.
#[derive(Debug)]
pub(super) struct Setter {
    pub maps: IdMaps,
    pub skipped: Skipped,
}

/// Bits that a write or a change of owner takes away again.
const SPECIAL_BITS: u32 = SET_UID | SET_GID;
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;

impl Setter {
    /// Of a new file, which was made with its mode and belongs to root.
    pub(super) fn file(&mut self, fd: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Errno> {
        let (uid, gid) = self.owner(attributes);
        if uid != 0 || gid != 0 {
            let (uid, gid) = owner::ids(uid, gid)?;
            fchown(fd, Some(uid), Some(gid))?;
        }
        if attributes.mode & SPECIAL_BITS != 0 {
            fchmod(fd, Mode::from_raw_mode(self.mode(attributes)))?;
        }
        for (name, value) in &attributes.xattrs {
            self.xattr(name, |name| fsetxattr(fd, name, value, XattrFlags::empty()))?;
        }
        futimens(fd, &times(attributes.mtime))
    }

    /// Whether a file has these attributes already.
    pub(super) fn has(&self, stat: &Stat, attributes: &Attributes) -> bool {
        let (uid, gid) = self.mapped(attributes);
        let mtime = (attributes.mtime.seconds, u64::from(attributes.mtime.nanoseconds));
        attributes.xattrs.is_empty()
            && stat.st_mode & 0o7777 == self.mode(attributes)
            && (stat.st_uid, stat.st_gid) == (uid.unwrap_or(0), gid.unwrap_or(0))
            && (stat.st_mtime, stat.st_mtime_nsec) == mtime
    }

    /// Of a file that is there already.
    pub(super) fn linked(&mut self, fd: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Errno> {
        let (uid, gid) = self.owner(attributes);
        let (uid, gid) = owner::ids(uid, gid)?;
        fchown(fd, Some(uid), Some(gid))?;
        fchmod(fd, Mode::from_raw_mode(self.mode(attributes)))?;
        for (name, value) in &attributes.xattrs {
            self.xattr(name, |name| fsetxattr(fd, name, value, XattrFlags::empty()))?;
        }
        futimens(fd, &times(attributes.mtime))
    }

    /// Of a directory of this layer, which belongs to root until now.
    pub(super) fn directory(&mut self, fd: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Errno> {
        let (uid, gid) = self.owner(attributes);
        if uid != 0 || gid != 0 {
            let (uid, gid) = owner::ids(uid, gid)?;
            fchown(fd, Some(uid), Some(gid))?;
        }
        fchmod(fd, Mode::from_raw_mode(self.mode(attributes)))?;
        for (name, value) in &attributes.xattrs {
            self.xattr(name, |name| fsetxattr(fd, name, value, XattrFlags::empty()))?;
        }
        futimens(fd, &times(attributes.mtime))
    }

    /// Of a link or a special file, which cannot be opened.
    pub(super) fn special(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        attributes: &Attributes,
    ) -> Result<(), Errno> {
        let (uid, gid) = self.owner(attributes);
        if uid != 0 || gid != 0 {
            let (uid, gid) = owner::ids(uid, gid)?;
            chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !attributes.xattrs.is_empty() {
            let path = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), name].concat();
            for (attribute, value) in &attributes.xattrs {
                self.xattr(attribute, |attribute| lsetxattr(&path, attribute, value, XattrFlags::empty()))?;
            }
        }
        utimensat(parent, name, &times(attributes.mtime), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// The owner inside this namespace: root for an id that is not mapped.
    fn owner(&mut self, attributes: &Attributes) -> (u32, u32) {
        let (uid, gid) = self.mapped(attributes);
        if uid.is_none() || gid.is_none() {
            self.skipped.owners += 1;
        }
        (uid.unwrap_or(0), gid.unwrap_or(0))
    }

    /// The mode without what would make a program root's that was to be somebody else's. Where there is one id for all,
    /// nobody gains by it.
    fn mode(&self, attributes: &Attributes) -> u32 {
        if attributes.mode & SPECIAL_BITS == 0 || self.maps.is_single() {
            return attributes.mode;
        }
        let (uid, gid) = self.mapped(attributes);
        let lost = if uid.is_none() { SET_UID } else { 0 } | if gid.is_none() { SET_GID } else { 0 };
        attributes.mode & !lost
    }

    /// The ids that this namespace has.
    fn mapped(&self, attributes: &Attributes) -> (Option<u32>, Option<u32>) {
        let uid = u32::try_from(attributes.uid).ok().filter(|uid| self.maps.host_uid(*uid).is_some());
        let gid = u32::try_from(attributes.gid).ok().filter(|gid| self.maps.host_gid(*gid).is_some());
        (uid, gid)
    }

    fn xattr(&mut self, name: &[u8], set: impl Fn(&[u8]) -> Result<(), Errno>) -> Result<(), Errno> {
        if reserved(name) {
            self.skipped.attributes += 1;
            return Ok(());
        }
        match set(name) {
            Ok(()) => Ok(()),
            // No right in this namespace, no support or no room in this file system, or ids that are not mapped.
            Err(
                Errno::PERM
                | Errno::ACCESS
                | Errno::NOTSUP
                | Errno::INVAL
                | Errno::NOSPC
                | Errno::TOOBIG
                | Errno::RANGE,
            ) => {
                self.skipped.attributes += 1;
                Ok(())
            }
            Err(e) => Err(e),
        }
    }
}

/// Attributes with a meaning for a union file system on this host: from an image they could hide or redirect files of
/// other layers, or fake owners.
fn reserved(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 5] =
        [b"user.overlay.", b"trusted.overlay.", b"user.fuseoverlayfs.", b"user.containers.", b"user.rpod."];
    name.is_empty() || name.contains(&0) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Both times: nobody has read the file yet.
fn times(mtime: Time) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Says which path an attribute could not be set on.
pub(super) fn failed(path: &str, result: Result<(), Errno>) -> Result<()> {
    result.context(|| format!("cannot set owner, mode and time of {path}"))
}
