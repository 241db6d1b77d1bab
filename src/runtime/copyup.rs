//! A tmpfs is like the directory that it covers: it has its mode, and with `tmpcopyup` starts with what is in it.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, chmodat, chownat, mkdirat, openat, readlinkat, statat,
    symlinkat,
};
use rustix::io::Errno;

use super::place;
use crate::userns::owner;

/// Makes the root of `tmpfs` like the directory `path` of `root`, in its mode, its content or both. Allocates: see `place`.
pub(super) fn fill(root: &OwnedFd, path: &CStr, tmpfs: &OwnedFd, mode: bool, content: bool) -> Result<(), Errno> {
    let source = match place::open(root, path, OFlags::RDONLY | OFlags::DIRECTORY, ResolveFlags::empty()) {
        // Nothing to start with.
        Err(Errno::NOENT) => return Ok(()),
        source => source?,
    };
    if content {
        copy_directory(&source, tmpfs, 0)?;
    }
    if mode {
        let mode = statat(&source, c"", AtFlags::EMPTY_PATH)?.st_mode & 0o7777;
        chmodat(tmpfs, c".", Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    Ok(())
}

/// Deeper than any sensible tree, and less than the stack holds.
const DEEPEST: usize = 100;

fn copy_directory(source: &OwnedFd, target: impl AsFd, depth: usize) -> Result<(), Errno> {
    if depth > DEEPEST {
        return Err(Errno::LOOP);
    }
    for entry in Dir::read_from(source)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            copy_entry(source, target.as_fd(), name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(source: &OwnedFd, target: impl AsFd, name: &CStr, depth: usize) -> Result<(), Errno> {
    let stat = statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            mkdirat(target.as_fd(), name, Mode::RWXU)?;
            let from = openat(source, name, flags | OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            let to = openat(target.as_fd(), name, flags | OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            copy_directory(&from, &to, depth + 1)?;
        }
        FileType::RegularFile => {
            let from = openat(source, name, flags | OFlags::RDONLY, Mode::empty())?;
            let to = openat(target.as_fd(), name, flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, Mode::RWXU)?;
            while rustix::fs::sendfile(&to, &from, None, 1 << 20)? > 0 {}
        }
        FileType::Symlink => {
            symlinkat(readlinkat(source, name, Vec::new())?, target.as_fd(), name)?;
            return own(target, name, &stat, false);
        }
        // Sockets, pipes and devices belong to running programs.
        _ => return Ok(()),
    }
    own(target, name, &stat, true)
}

fn own(target: impl AsFd, name: &CStr, stat: &Stat, with_mode: bool) -> Result<(), Errno> {
    let (uid, gid) = owner::ids(stat.st_uid, stat.st_gid)?;
    match chownat(target.as_fd(), name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
        // The owner is not mapped: what is shown as nobody stays ours.
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
        Err(e) => return Err(e),
    }
    if with_mode { chmodat(target, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty()) } else { Ok(()) }
}
