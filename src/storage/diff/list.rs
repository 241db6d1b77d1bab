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
    fn entry(&mut self, path: &[u8], _: At<'_>, _: &Stat, state: State, _: bool) -> Result<()> {
        self.add(if state == State::Added { ChangeKind::Added } else { ChangeKind::Changed }, path);
        Ok(())
    }

    fn removed(&mut self, path: &[u8]) -> Result<()> {
        self.add(ChangeKind::Deleted, path);
        Ok(())
    }
}
