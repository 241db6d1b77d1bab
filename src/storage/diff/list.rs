//! Changes as a list, as `diff` shows them.

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use super::report::{At, Emit, State};
use crate::error::Result;

/// What has happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChangeKind {
    Changed,
    Added,
    Deleted,
}

/// A path and what has happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub kind: ChangeKind,
    /// Absolute; bytes that are no UTF-8 are replaced.
    pub path: String,
}

/// Directories that only lead to a change are told when an entry below was added or removed, which changes its directory, and
/// not when one was modified: as in Podman.
#[derive(Debug, Default)]
pub(super) struct List {
    changes: Vec<Change>,
    /// Directories on the way to the entry at hand that have not changed themselves.
    unchanged: Vec<Vec<u8>>,
}

impl List {
    /// In the order of a walk.
    pub(super) fn finish(mut self) -> Vec<Change> {
        self.changes.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
        self.changes
    }

    fn add(&mut self, kind: ChangeKind, path: &[u8]) {
        if kind != ChangeKind::Changed {
            for directory in std::mem::take(&mut self.unchanged) {
                if path.strip_prefix(&directory[..]).is_some_and(|rest| rest.starts_with(b"/")) {
                    self.push(ChangeKind::Changed, &directory);
                }
            }
        }
        self.push(kind, path);
    }

    fn push(&mut self, kind: ChangeKind, path: &[u8]) {
        // The root itself is not a path in it.
        if !path.is_empty() {
            self.changes.push(Change { kind, path: format!("/{}", String::from_utf8_lossy(path)) });
        }
    }
}

impl Emit for List {
    /// A directory that was made anew in the place of an old one counts as deleted, as in Podman.
    fn entry(&mut self, path: &[u8], _: At<'_>, _: &Stat, state: State, opaque: bool) -> Result<()> {
        match state {
            _ if opaque => self.add(ChangeKind::Deleted, path),
            State::Added => self.add(ChangeKind::Added, path),
            State::Same => self.unchanged.push(path.to_vec()),
            State::Modified | State::Touched => self.add(ChangeKind::Changed, path),
        }
        Ok(())
    }

    fn removed(&mut self, path: &[u8]) -> Result<()> {
        self.add(ChangeKind::Deleted, path);
        Ok(())
    }
}
