//! Bytes that files take on the disk: blocks, not lengths, and each inode once however many names it has.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::error::Result;
use crate::userns::{IdMaps, enter};

/// What is below `paths` all together. For a single-threaded process.
pub(crate) fn of(paths: &[PathBuf], maps: &IdMaps) -> Result<u64> {
    Ok(of_each(paths, maps)?.into_iter().sum())
}

/// What is below each of `paths`; an inode counts where it is met first, and a path that is not there has nothing. For a
/// single-threaded process: containers' files may be hidden from their own user.
pub(crate) fn of_each(paths: &[PathBuf], maps: &IdMaps) -> Result<Vec<u64>> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    enter::run(maps, || {
        let mut seen = HashSet::new();
        Ok(paths.iter().map(|path| tree(path, &mut seen)).collect())
    })
}

/// What vanishes meanwhile, or cannot be read, counts as nothing.
fn tree(path: &Path, seen: &mut HashSet<(u64, u64)>) -> u64 {
    const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let Ok(root) = openat(CWD, path, DIRECTORY, Mode::empty()) else { return 0 };
    let mut bytes = 0;
    // Each directory is opened relative to its parent's descriptor, which is closed when its own entries are read.
    let mut todo: Vec<OwnedFd> = vec![root];
    while let Some(directory) = todo.pop() {
        let Ok(entries) = Dir::read_from(&directory) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let Ok(stat) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if stat.st_nlink > 1
                && FileType::from_raw_mode(stat.st_mode) != FileType::Directory
                && !seen.insert((stat.st_dev, stat.st_ino))
            {
                continue;
            }
            bytes += u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                match openat(directory.as_fd(), name, DIRECTORY, Mode::empty()) {
                    Ok(child) => todo.push(child),
                    // Too many at a time: this one by itself.
                    Err(Errno::MFILE) => {}
                    Err(_) => {}
                }
            }
        }
    }
    bytes
}
