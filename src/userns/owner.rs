//! Who a file shall belong to, as chown(2) takes it: the one place where a number becomes an owner.
//!
//! 4294967295 is no id: chown(2) and setresuid(2) take it for "as it is", so a file that was to be its would stay root's.

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Uid, chownat};
use rustix::io::Errno;

/// # Errors
/// `EINVAL` for 4294967295, as the kernel answers for every id that is not mapped.
pub(crate) fn uid(uid: u32) -> Result<Uid, Errno> {
    if uid == u32::MAX { Err(Errno::INVAL) } else { Ok(Uid::from_raw(uid)) }
}

/// # Errors
/// `EINVAL` for 4294967295, as the kernel answers for every id that is not mapped.
pub(crate) fn gid(gid: u32) -> Result<Gid, Errno> {
    if gid == u32::MAX { Err(Errno::INVAL) } else { Ok(Gid::from_raw(gid)) }
}

/// # Errors
/// `EINVAL` for 4294967295, as the kernel answers for every id that is not mapped.
pub(crate) fn ids(user: u32, group: u32) -> Result<(Uid, Gid), Errno> {
    Ok((uid(user)?, gid(group)?))
}

/// Gives a file, never what it is a link to, to ids of the user namespace that this runs in.
///
/// # Errors
/// Those of lchown(2); `EINVAL` also for 4294967295.
pub(crate) fn give(path: &Path, user: u32, group: u32) -> io::Result<()> {
    let (uid, gid) = ids(user, group)?;
    Ok(chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_is_nobody() {
        assert!(ids(0, u32::MAX).is_err() && ids(u32::MAX, 0).is_err());
        assert!(ids(u32::MAX - 1, u32::MAX - 1).is_ok());
        let refused = give(Path::new("/"), u32::MAX, u32::MAX).map_err(|e| e.raw_os_error());
        assert_eq!(refused, Err(Some(Errno::INVAL.raw_os_error())));
    }
}
