//! The changes between two trees.

use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use rustix::fs::{FileType, Stat, readlinkat};
use rustix::io::Errno;

use super::merged::{Merged, Seen};
use super::report::{Report, State};
use super::upper::compared;
use crate::error::{Context, Result};

/// Tells what makes `new` of `old`.
pub(super) fn walk(new: &Merged, old: &Merged, report: &mut Report<'_>) -> Result<()> {
    let failed = || "cannot examine the root directory";
    let Some(top) = new.top() else { return Ok(()) };
    let Some(stat) = new.stat().context(failed)? else { return Ok(()) };
    let state = match old.stat().context(failed)? {
        Some(old) => compared(&old, &stat),
        // As a layer that says nothing about its root.
        None if stat.st_mode & 0o7777 == 0o755 && (stat.st_uid, stat.st_gid) == (0, 0) => State::Same,
        None => State::Added,
    };
    report.enter(b"", &Rc::new(top.try_clone_to_owned().context(failed)?), stat, state, false)?;
    directory(new, old, report)?;
    report.leave()
}

/// What is in a directory.
pub(super) fn directory(new: &Merged, old: &Merged, report: &mut Report<'_>) -> Result<()> {
    let list =
        |merged: &Merged, report: &Report<'_>| merged.names().context(|| format!("cannot list {}", report.shown(b"")));
    let mut names = list(new, report)?;
    names.append(&mut list(old, report)?);
    names.sort_unstable();
    names.dedup();
    for name in &names {
        let failed = |report: &Report<'_>| format!("cannot examine {}", report.shown(name));
        let was = old.find(name).context(|| failed(report))?;
        let Some(is) = new.find(name).context(|| failed(report))? else {
            if was.is_some() {
                report.removed(name)?;
            }
            continue;
        };
        if FileType::from_raw_mode(is.stat.st_mode) != FileType::Directory {
            let state = match &was {
                None => State::Added,
                Some(was) if same(name, was, &is).context(|| failed(report))? => continue,
                Some(_) => State::Modified,
            };
            report.other(name, is.parent, &is.stat, state)?;
            continue;
        }
        let state = was.as_ref().map_or(State::Added, |was| compared(&was.stat, &is.stat));
        let below = (new.enter(name).context(|| failed(report))?, old.enter(name).context(|| failed(report))?);
        let Some(top) = below.0.top() else { continue };
        let top = Rc::new(top.try_clone_to_owned().context(|| failed(report))?);
        report.enter(name, &top, is.stat, state, false)?;
        directory(&below.0, &below.1, report)?;
        report.leave()?;
    }
    Ok(())
}

/// Whether a file is the one it was. Its content is not read: a copy has the times of its original, and writing changes
/// them.
fn same(name: &[u8], was: &Seen<'_>, is: &Seen<'_>) -> Result<bool, Errno> {
    let (a, b) = (&was.stat, &is.stat);
    if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) {
        return Ok(true);
    }
    if unlike(a, b) {
        return Ok(false);
    }
    match FileType::from_raw_mode(a.st_mode) {
        FileType::Symlink => Ok(target(was.parent, name)? == target(is.parent, name)?),
        _ => Ok(true),
    }
}

fn unlike(a: &Stat, b: &Stat) -> bool {
    a.st_mode != b.st_mode
        || (a.st_uid, a.st_gid) != (b.st_uid, b.st_gid)
        || a.st_size != b.st_size
        || a.st_rdev != b.st_rdev
        || (a.st_mtime, a.st_mtime_nsec) != (b.st_mtime, b.st_mtime_nsec)
}

fn target(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
    Ok(readlinkat(parent.as_fd(), name, Vec::new())?.into_bytes())
}
