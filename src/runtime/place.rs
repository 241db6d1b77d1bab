//! Finding, and where needed making, places inside a root that belongs to an untrusted image: no link in it leads outside
//! and none leads through a magic link of procfs (openat2(2), Linux 5.6; CVE-2021-30465, CVE-2024-21626).

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::lookup::openat2;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstatfs, mkdirat, openat, readlinkat, statat,
};
use rustix::io::Errno;

/// Links followed before giving up, as the kernel does.
const MOST_LINKS: usize = 40;

/// Opens (O_PATH) what `path` means to a process whose root is `root`.
pub(super) fn find(root: impl AsFd, path: &CStr) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH, ResolveFlags::empty())
}

/// [`find`] that refuses every symbolic link.
pub(super) fn find_without_links(root: impl AsFd, path: &CStr) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH, ResolveFlags::NO_SYMLINKS)
}

/// openat2 inside `root`.
pub(super) fn open(root: impl AsFd, path: &CStr, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, resolve)
}

/// Opens the place `path`, making it (an empty file, or a directory) and its parents where they are missing.
pub(super) fn find_or_make(root: impl AsFd, path: &CStr, kind: FileType) -> Result<OwnedFd, Errno> {
    match find(root.as_fd(), path) {
        Err(Errno::NOENT) => make(root.as_fd(), path, kind),
        result => result,
    }
}

/// Walks `path` one name at a time, following links by hand because the last one may lead to something that does not
/// exist yet (/etc/resolv.conf often does). Rare, and therefore allowed to allocate: the child was cloned from a process
/// with one thread, so the allocator's locks are free.
fn make(root: BorrowedFd<'_>, path: &CStr, kind: FileType) -> Result<OwnedFd, Errno> {
    // Names still to walk, the next one last; names walked, without links.
    let mut rest: Vec<Vec<u8>> = Vec::new();
    push_names(&mut rest, path.to_bytes());
    let mut walked: Vec<Vec<u8>> = Vec::new();
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == b".." {
            walked.pop();
            continue;
        }
        let parent = find_without_links(root, &joined(&walked)?)?;
        let name_c = CString::new(name.clone()).map_err(|_| Errno::INVAL)?;
        match readlinkat(&parent, &name_c, Vec::new()) {
            Ok(target) => {
                links += 1;
                // Links of procfs are more than their text.
                if links > MOST_LINKS || fstatfs(&parent)?.f_type == PROC_SUPER_MAGIC {
                    return Err(Errno::LOOP);
                }
                if target.to_bytes().starts_with(b"/") {
                    walked.clear();
                }
                push_names(&mut rest, target.to_bytes());
                continue;
            }
            // Not a link.
            Err(Errno::INVAL) => {}
            Err(Errno::NOENT) => create(&parent, &name_c, if rest.is_empty() { kind } else { FileType::Directory })?,
            Err(e) => return Err(e),
        }
        walked.push(name);
    }
    find_without_links(root, &joined(&walked)?)
}

/// The directory in which `path` is, made where it is missing, and its name there.
pub(super) fn parent_of(root: impl AsFd, path: &CStr) -> Result<(OwnedFd, CString), Errno> {
    let bytes = path.to_bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/').ok_or(Errno::INVAL)?;
    let (parent, name) = (CString::new(&bytes[..slash.max(1)]), CString::new(&bytes[slash + 1..]));
    let (parent, name) = (parent.map_err(|_| Errno::INVAL)?, name.map_err(|_| Errno::INVAL)?);
    Ok((find_or_make(root, &parent, FileType::Directory)?, name))
}

fn push_names(rest: &mut Vec<Vec<u8>>, path: &[u8]) {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    rest.extend(names.rev().map(<[u8]>::to_vec));
}

fn joined(names: &[Vec<u8>]) -> Result<CString, Errno> {
    let mut path = names.join(&b'/');
    if path.is_empty() {
        path.push(b'.');
    }
    CString::new(path).map_err(|_| Errno::INVAL)
}

/// An empty file or a directory; somebody else having made it meanwhile is found out when it is opened.
pub(super) fn create(parent: impl AsFd, name: &CStr, kind: FileType) -> Result<(), Errno> {
    let made = if kind == FileType::Directory {
        mkdirat(parent.as_fd(), name, Mode::from_raw_mode(0o755))
    } else {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        openat(parent.as_fd(), name, flags, Mode::from_raw_mode(0o644)).map(drop)
    };
    match made {
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}

/// What kind of file a descriptor (also O_PATH) refers to.
pub(super) fn file_type(fd: impl AsFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(statat(fd.as_fd(), c"", AtFlags::EMPTY_PATH)?.st_mode))
}
