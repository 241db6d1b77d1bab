//! Layers copied one over the other into a plain directory, for hosts where no union mount works. Runs as root of the
//! user's map. Blocks are shared where the file system can (FICLONE), holes stay holes, hard links stay links.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags, chownat,
    copy_file_range, fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, ftruncate, futimens, ioctl_ficlone,
    linkat, mkdirat, mknodat, openat, readlinkat, seek, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::rootfs::ROOT_MODE;
use super::{remove, whiteout};
use crate::error::{Context, Result};
use crate::userns::owner;
use crate::userns::shift::Shift;

/// Copies `layers` (diff directories, bottom first) into the empty directory `dest`, with the owners that `shift` gives.
pub(super) fn rootfs(layers: &[PathBuf], dest: &Path, shift: Option<&Shift>) -> Result<()> {
    rustix::process::umask(Mode::empty());
    // Two descriptors per level of the deepest tree.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let open = |path: &Path| open_dir(CWD, path.as_os_str().as_encoded_bytes());
    for layer in layers {
        let failed = || format!("cannot copy {} to {}", layer.display(), dest.display());
        let from = open(layer).context(failed)?;
        let to = open(dest).context(failed)?;
        let root = open(dest).context(failed)?;
        let mut copy = Copy { root, links: HashMap::new(), path: Vec::new(), shift, unmapped: None };
        copy.directory(from.as_fd(), to.as_fd())
            .map_err(|e| match copy.unmapped {
                Some((uid, gid)) => std::io::Error::other(format!(
                    "{} belongs to {uid}:{gid}, which is not in the user namespace",
                    copy.path.escape_ascii()
                )),
                None => std::io::Error::other(format!("{}: {e}", copy.path.escape_ascii())),
            })
            .context(failed)?;
    }
    Ok(())
}

struct Copy<'a> {
    root: OwnedFd,
    shift: Option<&'a Shift>,
    /// Why a copy failed: an owner that the container does not have.
    unmapped: Option<(u32, u32)>,
    /// Where the first name of an inode with several went, below the root.
    links: HashMap<u64, Vec<u8>>,
    /// Of the entry at hand.
    path: Vec<u8>,
}

impl Copy<'_> {
    /// Everything in `from`, then its own attributes.
    fn directory(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
        if whiteout::opaque(from) {
            clear(to)?;
        }
        for name in names(from)? {
            if name == whiteout::OPAQUE {
                continue;
            }
            let length = self.path.len();
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            self.entry(from, to, &name)?;
            self.path.truncate(length);
        }
        let stat = fstat(from)?;
        let (uid, gid) = self.owner(&stat)?;
        // A layer that says nothing about the root leaves it as it is.
        let mode = if self.path.is_empty() { stat.st_mode | ROOT_MODE } else { stat.st_mode };
        if self.path.is_empty() && stat.st_mode & 0o7777 == 0o755 {
            return if self.shift.is_some() { fchown(to, uid, gid) } else { Ok(()) };
        }
        fchown(to, uid, gid)?;
        fchmod(to, Mode::from_raw_mode(mode))?;
        xattrs(from, to, None)?;
        futimens(to, &times(&stat))
    }

    fn entry(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if whiteout::is(from, name, &stat) {
            return remove_any(to, name);
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            match statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) if FileType::from_raw_mode(there.st_mode) == FileType::Directory => {}
                _ => {
                    remove_any(to, name)?;
                    mkdirat(to, name, Mode::RWXU)?;
                }
            }
            return self.directory(open_dir(from, name)?.as_fd(), open_dir(to, name)?.as_fd());
        }
        remove_any(to, name)?;
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&stat.st_ino) {
                return linkat(&self.root, first, to, name, AtFlags::empty());
            }
            self.links.insert(stat.st_ino, self.path.clone());
        }
        match kind {
            FileType::RegularFile => {
                let root = self.shift.and_then(|shift| shift.uid(0));
                return file(from, to, name, &stat, self.owner(&stat)?, root);
            }
            FileType::Symlink => {
                let target = readlinkat(from, name, Vec::new())?;
                symlinkat(&target, to, name)?;
            }
            kind => match mknodat(to, name, kind, Mode::from_raw_mode(stat.st_mode & 0o7777), stat.st_rdev) {
                // As when the layer was unpacked: no right to make devices.
                Err(Errno::PERM) => return Ok(()),
                made => made?,
            },
        }
        let (uid, gid) = self.owner(&stat)?;
        chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        utimensat(to, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Who the copy of a file belongs to.
    fn owner(&mut self, stat: &Stat) -> Result<Owner, Errno> {
        let (uid, gid) = (stat.st_uid, stat.st_gid);
        let shifted = match self.shift {
            None => Some((uid, gid)),
            Some(shift) => {
                let (uid, gid) = shift.owner(uid, gid);
                uid.zip(gid)
            }
        };
        let (uid, gid) = shifted.ok_or_else(|| {
            self.unmapped = Some((uid, gid));
            Errno::INVAL
        })?;
        let (uid, gid) = owner::ids(uid, gid)?;
        Ok((Some(uid), Some(gid)))
    }
}

type Owner = (Option<Uid>, Option<Gid>);

/// `root`: the container's, when it is not this namespace's.
fn file(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &[u8],
    stat: &Stat,
    owner: Owner,
    root: Option<u32>,
) -> Result<(), Errno> {
    let source = openat(from, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    if stat.st_size > 0 && ioctl_ficlone(&target, &source).is_err() {
        content(source.as_fd(), target.as_fd(), stat.st_size.unsigned_abs())?;
    }
    fchown(&target, owner.0, owner.1)?;
    fchmod(&target, Mode::from_raw_mode(stat.st_mode))?;
    xattrs(source.as_fd(), target.as_fd(), root)?;
    futimens(&target, &times(stat))
}

/// Stretch by stretch, holes left out.
fn content(source: BorrowedFd<'_>, target: BorrowedFd<'_>, size: u64) -> Result<(), Errno> {
    ftruncate(target, size)?;
    let mut at = 0;
    while at < size {
        let start = match seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(_) => at,
        };
        let end = seek(source, SeekFrom::Hole(start)).unwrap_or(size).min(size);
        let (mut from, mut to) = (start, start);
        while from < end {
            let left = usize::try_from(end - from).unwrap_or(usize::MAX);
            let copied = match copy_file_range(source, Some(&mut from), target, Some(&mut to), left) {
                Err(Errno::XDEV | Errno::NOSYS | Errno::NOTSUP | Errno::INVAL) => {
                    return by_hand(source, target, start, size);
                }
                copied => copied?,
            };
            if copied == 0 {
                break;
            }
        }
        at = end.max(start + 1);
    }
    Ok(())
}

fn by_hand(source: BorrowedFd<'_>, target: BorrowedFd<'_>, mut at: u64, size: u64) -> Result<(), Errno> {
    let mut buffer = vec![0; 256 * 1024];
    while at < size {
        let length = rustix::io::pread(source, &mut buffer, at)?;
        if length == 0 {
            break;
        }
        let mut written = 0;
        while written < length {
            written += rustix::io::pwrite(target, &buffer[written..length], at + written as u64)?;
        }
        at += length as u64;
    }
    Ok(())
}

fn xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>, root: Option<u32>) -> Result<(), Errno> {
    let mut list = vec![0u8; 64 * 1024];
    let length = match flistxattr(from, &mut list) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(e) => return Err(e),
    };
    let mut value = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // The layer's own marks; and what the kernel keeps for itself.
        if name.starts_with(b"user.overlay.") || name == b"security.selinux" {
            continue;
        }
        value.resize(64 * 1024, 0);
        let length = fgetxattr(from, name, &mut value)?;
        value.truncate(length);
        if let (b"security.capability", Some(root)) = (name, root) {
            belongs_to(&mut value, root);
        }
        match fsetxattr(to, name, &value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::NOSPC) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Makes a file's capabilities count in the namespace whose root this is (linux/capability.h, VFS_CAP_REVISION_3). Without a root
/// of their own they would be this namespace's, and of no use in the container.
fn belongs_to(value: &mut Vec<u8>, root: u32) {
    const REVISION_3: u32 = 0x0300_0000;
    const EFFECTIVE: u32 = 1;
    const TWO_SETS: usize = 20;
    let Some(magic) = value.first_chunk::<4>().map(|magic| u32::from_le_bytes(*magic)) else { return };
    if value.len() < TWO_SETS {
        return;
    }
    value.truncate(TWO_SETS);
    value[..4].copy_from_slice(&(REVISION_3 | magic & EFFECTIVE).to_le_bytes());
    value.extend_from_slice(&root.to_le_bytes());
}

fn remove_any(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => {
            remove::tree(parent, name, b"", &mut |parent, name, _| unlinkat(parent, name, AtFlags::empty()))
        }
        removed => removed,
    }
}

fn clear(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    names(dir)?.iter().try_for_each(|name| remove_any(dir, name))
}

fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

fn open_dir(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// To be set again, or on a copy.
pub(super) fn times(stat: &Stat) -> Timestamps {
    let nanoseconds = |n| i64::try_from(n).unwrap_or_default();
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: nanoseconds(stat.st_atime_nsec) },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: nanoseconds(stat.st_mtime_nsec) },
    }
}
