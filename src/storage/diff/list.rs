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

#[derive(Debug, Default)]
pub(super) struct List(Vec<Change>);

impl List {
    pub(super) fn finish(self) -> Vec<Change> {
        self.0
    }

    fn add(&mut self, kind: ChangeKind, path: &[u8]) {
        // The root itself is not a path in it.
        if !path.is_empty() {
            self.0.push(Change { kind, path: format!("/{}", String::from_utf8_lossy(path)) });
        }
    }
}

impl Emit for List {
    /// A directory that was made anew in the place of an old one counts as deleted, as in Podman.
    fn entry(&mut self, path: &[u8], _: At<'_>, _: &Stat, state: State, opaque: bool) -> Result<()> {
        let kind = match state {
            _ if opaque => ChangeKind::Deleted,
            State::Added => ChangeKind::Added,
            _ => ChangeKind::Changed,
        };
        self.add(kind, path);
        Ok(())
    }

    fn removed(&mut self, path: &[u8]) -> Result<()> {
        self.add(ChangeKind::Deleted, path);
        Ok(())
    }
}
