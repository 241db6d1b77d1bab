//! The changes in an upper directory. What it does not hold is not looked at.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Stat, fstat, statat};
use rustix::io::Errno;

use super::ids::Ids;
use super::merged::Merged;
use super::report::{Report, State};
use super::{names, open_directory, open_path};
use crate::error::{Context, Result};
use crate::storage::whiteout;

/// How what is removed is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marks {
    /// By devices and extended attributes, as overlayfs does it.
    Kernel,
    /// Also by files with names of their own, as fuse-overlayfs does it where it can make no device.
    Files,
}

/// Walks `upper`, a directory over those in `lower`, top first.
pub(super) fn walk(upper: &Path, lower: &[PathBuf], marks: Marks, ids: &Ids, report: &mut Report<'_>) -> Result<()> {
    let below = Merged::open(lower, ids)?;
    let root = Rc::new(open_path(upper)?);
    let stat = ids.translate(fstat(&root).context(|| format!("cannot examine {}", upper.display()))?);
    // The mode of the root is made up of what all the layers say (`Store::prepare_rootfs`).
    let state = match root_mode(lower)? == stat.st_mode & 0o7777 && (stat.st_uid, stat.st_gid) == (0, 0) {
        true => State::Touched,
        false => State::Modified,
    };
    report.enter(b"", &root, stat, state, false)?;
    directory(&root, &below, marks, ids, report)?;
    report.leave()
}

/// What a new container's upper directory gets.
fn root_mode(lower: &[PathBuf]) -> Result<u32> {
    for path in lower {
        let mode = fstat(open_path(path)?).context(|| format!("cannot examine {}", path.display()))?.st_mode & 0o7777;
        if mode != 0o755 {
            return Ok(mode);
        }
    }
    Ok(0o755)
}

fn directory(upper: &Rc<OwnedFd>, below: &Merged, marks: Marks, ids: &Ids, report: &mut Report<'_>) -> Result<()> {
    let all = names(upper.as_fd()).context(|| format!("cannot list {}", report.shown(b"")))?;
    for name in &all {
        let failed = |report: &Report<'_>| format!("cannot examine {}", report.shown(name));
        if marks == Marks::Files
            && let Some(hidden) = name.strip_prefix(whiteout::PREFIX)
            && !name.starts_with(whiteout::AUFS)
            && below.find(hidden).context(|| failed(report))?.is_some()
            && all.binary_search(&hidden.to_vec()).is_err()
            && whiteout_file(upper, name)
        {
            report.removed(hidden)?;
            continue;
        }
        if marks == Marks::Files && name == whiteout::OPAQUE {
            continue;
        }
        let stat = match statat(upper, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
            // A container that runs has removed it meanwhile.
            Err(Errno::NOENT) => continue,
            stat => ids.translate(stat.context(|| failed(report))?),
        };
        if whiteout::is(upper.as_fd(), name, &stat) {
            // fuse-overlayfs hides its own marks so; no layer has such a name.
            if marks == Marks::Kernel || !name.starts_with(whiteout::PREFIX) {
                report.removed(name)?;
            }
            continue;
        }
        let old = below.find(name).context(|| failed(report))?.map(|seen| seen.stat);
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let state = if old.is_some() { State::Modified } else { State::Added };
            report.other(name, upper.as_fd(), &stat, state)?;
            continue;
        }
        let child = match open_directory(upper, name) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            child => Rc::new(child.context(|| failed(report))?),
        };
        let opaque = whiteout::opaque(&*child) || marks == Marks::Files && whiteout::opaque_by_file(&*child);
        let state = old.as_ref().map_or(State::Added, |old| compared(old, &stat));
        report.enter(name, &child, stat, state, opaque && old.is_some())?;
        let below = if opaque { Merged::default() } else { below.enter(name).context(|| failed(report))? };
        directory(&child, &below, marks, ids, report)?;
        report.leave()?;
    }
    Ok(())
}

fn whiteout_file(upper: &Rc<OwnedFd>, name: &[u8]) -> bool {
    statat(upper, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| stat.st_size == 0 && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// What has happened to a directory that was `old` and is `new`.
pub(super) fn compared(old: &Stat, new: &Stat) -> State {
    if old.st_mode != new.st_mode || (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid) {
        return State::Modified;
    }
    match (old.st_mtime, old.st_mtime_nsec) == (new.st_mtime, new.st_mtime_nsec) {
        true => State::Same,
        false => State::Touched,
    }
}
