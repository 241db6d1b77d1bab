//! Removes trees that containers and images made: any depth, any mode, any number of entries.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, SeekFrom, chmodat, fchmod, openat, renameat, seek, unlinkat,
};
use rustix::io::Errno;

use crate::error::{Context, Result};

/// Directories open at a time; what is deeper is first moved up.
const MAX_OPEN: usize = 200;
/// Names read at a time: a directory may have millions.
const BATCH: usize = 4096;

/// Removes `name` (of the directory `parent`) when it is not a directory. The last argument is its path.
pub(super) type Unlink<'a> = dyn FnMut(BorrowedFd<'_>, &[u8], &[u8]) -> Result<(), Errno> + 'a;

/// Removes whatever is at `path`; it may be gone already.
pub(crate) fn path(path: &Path) -> Result<()> {
    let failed = || format!("cannot remove {}", path.display());
    match unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM | Errno::ACCESS) => {}
        Err(e) => return Err(e).context(failed),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL).context(failed);
    };
    let parent =
        openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).context(failed)?;
    tree(parent.as_fd(), name.as_encoded_bytes(), b"", &mut |parent, name, _| unlinkat(parent, name, AtFlags::empty()))
        .context(failed)
}

/// Removes whatever has this name in a directory; it may be gone already.
pub(crate) fn at(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {
            tree(parent, name, b"", &mut |parent, name, _| unlinkat(parent, name, AtFlags::empty()))
        }
        removed => removed,
    }
}

/// Removes the directory `name` of `parent`, whose path is `path`, calling `unlink` for everything in it that is no
/// directory.
pub(super) fn tree(parent: BorrowedFd<'_>, name: &[u8], path: &[u8], unlink: &mut Unlink<'_>) -> Result<(), Errno> {
    let mut work = vec![(name.to_vec(), path.to_vec())];
    let mut moved = 0;
    while let Some((name, path)) = work.pop() {
        let mut deep = Vec::new();
        one(parent, &name, &path, unlink, &mut |directory, child, path| {
            let away = format!(".rpod-deep-{}-{moved}", std::process::id()).into_bytes();
            moved += 1;
            renameat(directory, child, parent, &away)?;
            deep.push((away, path));
            Ok(())
        })?;
        work.append(&mut deep);
    }
    Ok(())
}

struct Level {
    fd: OwnedFd,
    name: Vec<u8>,
    path: Vec<u8>,
    children: Vec<(Vec<u8>, FileType)>,
    begun: bool,
    /// Whether the directory has more than was read of it.
    more: bool,
}

type Away<'a> = dyn FnMut(BorrowedFd<'_>, &[u8], Vec<u8>) -> Result<(), Errno> + 'a;

fn one(
    parent: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
    unlink: &mut Unlink<'_>,
    away: &mut Away<'_>,
) -> Result<(), Errno> {
    let Some(top) = Level::open(parent, name, path.to_vec())? else { return Ok(()) };
    let mut stack = vec![top];
    while let Some(level) = stack.last_mut() {
        let Some((child, file_type)) = level.next()? else {
            let Some(done) = stack.pop() else { break };
            let parent = stack.last().map_or(parent, |level| level.fd.as_fd());
            removed(retry(parent, || unlinkat(parent, &done.name[..], AtFlags::REMOVEDIR)))?;
            continue;
        };
        let path = [&level.path[..], b"/", &child].concat();
        if file_type != FileType::Directory {
            let directory = level.fd.as_fd();
            match retry(directory, || unlink(directory, &child, &path)) {
                // The type that readdir gave may be unknown.
                Err(Errno::ISDIR) => {}
                result => {
                    removed(result)?;
                    continue;
                }
            }
        }
        if stack.len() >= MAX_OPEN {
            if let Some(level) = stack.last() {
                away(level.fd.as_fd(), &child, path)?;
            }
            continue;
        }
        let opened = match stack.last() {
            Some(level) => Level::open(level.fd.as_fd(), &child, path)?,
            None => None,
        };
        stack.extend(opened);
    }
    Ok(())
}

impl Level {
    /// `None` when it is gone.
    fn open(parent: BorrowedFd<'_>, name: &[u8], path: Vec<u8>) -> Result<Option<Self>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || openat(parent, name, flags, Mode::empty());
        let fd = match open() {
            Err(Errno::ACCESS) => {
                chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
                open()?
            }
            Err(Errno::NOENT) => return Ok(None),
            opened => opened?,
        };
        Ok(Some(Self { fd, name: name.to_vec(), path, children: Vec::new(), begun: false, more: true }))
    }

    /// A child that is still there. Those shown before have been removed, so reading begins again.
    fn next(&mut self) -> Result<Option<(Vec<u8>, FileType)>, Errno> {
        if self.children.is_empty() && self.more {
            self.more = false;
            if std::mem::replace(&mut self.begun, true) {
                seek(&self.fd, SeekFrom::Start(0))?;
            }
            let mut buffer = Vec::with_capacity(16 * 1024);
            let mut entries = RawDir::new(&self.fd, buffer.spare_capacity_mut());
            while let Some(entry) = entries.next() {
                let entry = match entry {
                    // Somebody else has removed this directory.
                    Err(Errno::NOENT) => break,
                    entry => entry?,
                };
                let name = entry.file_name().to_bytes();
                if !matches!(name, b"." | b"..") {
                    self.children.push((name.to_vec(), entry.file_type()));
                }
                self.more = self.children.len() == BATCH;
                if self.more {
                    break;
                }
            }
        }
        Ok(self.children.pop())
    }
}

/// A directory of ours without write permission is made writable.
fn retry(directory: BorrowedFd<'_>, mut action: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    match action() {
        Err(Errno::ACCESS) => {
            fchmod(directory, Mode::RWXU)?;
            action()
        }
        result => result,
    }
}

fn removed(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_and_locked_trees_go() {
        let base = std::env::temp_dir().join(format!("rpod-remove-{}", std::process::id()));
        std::fs::create_dir_all(&base).expect("makes");
        let mut directory = openat(CWD, &base, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("opens");
        for depth in 0..1000 {
            rustix::fs::mkdirat(&directory, "d", Mode::RWXU).expect("makes");
            drop(openat(&directory, "f", OFlags::CREATE | OFlags::WRONLY, Mode::empty()).expect("makes"));
            let next = openat(&directory, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("opens");
            if depth % 3 == 0 {
                fchmod(&directory, Mode::from_raw_mode(0o500)).expect("locks");
            }
            directory = next;
        }
        for number in 0..2 * BATCH + 1 {
            std::fs::write(base.join(number.to_string()), "").expect("writes");
        }
        path(&base).expect("removes");
        assert!(!base.exists());
        path(&base).expect("removes what is not there");
    }
}
