//! A directory as its layers show it: whiteouts and opaque directories carried out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Stat, fstat, statat};
use rustix::io::Errno;

use super::ids::Ids;
use super::{names, open_directory, open_path};
use crate::error::Result;
use crate::storage::whiteout;

/// What the layers have of one directory, top first; nothing where none has it.
#[derive(Debug, Default)]
pub(super) struct Merged {
    dirs: Vec<OwnedFd>,
    /// No layer, but what somebody sees: nothing in it means something else.
    plain: bool,
    ids: Ids,
}

/// An entry that shows.
pub(super) struct Seen<'m> {
    /// The directory of the layer that it is in.
    pub parent: BorrowedFd<'m>,
    pub stat: Stat,
}

impl Merged {
    /// The root of layers, top first.
    pub(super) fn open(paths: &[PathBuf], ids: &Ids) -> Result<Self> {
        let mut merged = Self { ids: ids.clone(), ..Self::default() };
        for path in paths {
            if merged.add(open_path(path)?) {
                break;
            }
        }
        Ok(merged)
    }

    /// One directory as it is.
    pub(super) fn plain(directory: OwnedFd) -> Self {
        Self { dirs: vec![directory], plain: true, ..Self::default() }
    }

    /// Whether nothing below the directory shows.
    fn add(&mut self, directory: OwnedFd) -> bool {
        let opaque = !self.plain && (whiteout::opaque(&directory) || whiteout::opaque_by_file(&directory));
        self.dirs.push(directory);
        opaque
    }

    /// The topmost directory, whose attributes show.
    pub(super) fn top(&self) -> Option<BorrowedFd<'_>> {
        self.dirs.first().map(AsFd::as_fd)
    }

    /// The attributes of the directory itself.
    pub(super) fn stat(&self) -> Result<Option<Stat>, Errno> {
        self.top().map(|top| fstat(top).map(|stat| self.ids.translate(stat))).transpose()
    }

    pub(super) fn find(&self, name: &[u8]) -> Result<Option<Seen<'_>>, Errno> {
        for directory in &self.dirs {
            match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if !self.plain && whiteout::is(directory.as_fd(), name, &stat) => return Ok(None),
                Ok(stat) => return Ok(Some(Seen { parent: directory.as_fd(), stat: self.ids.translate(stat) })),
                Err(Errno::NOENT | Errno::NAMETOOLONG) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// The directory `name`; nothing when it is not one.
    pub(super) fn enter(&self, name: &[u8]) -> Result<Self, Errno> {
        let mut merged = Self { ids: self.ids.clone(), plain: self.plain, ..Self::default() };
        for directory in &self.dirs {
            match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    if merged.add(open_directory(directory, name)?) {
                        break;
                    }
                }
                // A whiteout or a file hides what is below.
                Ok(_) => break,
                Err(Errno::NOENT | Errno::NAMETOOLONG) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(merged)
    }

    /// Whether the directory of `path` shows, and nothing shows at `path` itself.
    pub(super) fn lacks(&self, path: &[u8]) -> Result<bool, Errno> {
        let mut parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let Some(name) = parts.pop() else { return Ok(false) };
        let mut entered: Option<Self> = None;
        for part in parts {
            let directory = entered.as_ref().unwrap_or(self).enter(part)?;
            if directory.top().is_none() {
                return Ok(false);
            }
            entered = Some(directory);
        }
        Ok(entered.as_ref().unwrap_or(self).find(name)?.is_none())
    }

    /// The names that any layer has, sorted; [`Merged::find`] tells which show.
    pub(super) fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let mut all = Vec::new();
        for directory in &self.dirs {
            all.append(&mut names(directory)?);
        }
        all.retain(|name| self.plain || name != whiteout::OPAQUE);
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }
}
