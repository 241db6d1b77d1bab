//! Removing the containers that do not run.

use super::filter::Filters;
use super::lifecycle::{self, Removal};
use super::store;
use crate::error::{Error, Kind, Result};
use crate::monitor::state::Status;
use crate::state::paths::Dirs;

/// What became of each container that was to go.
#[derive(Debug, Default)]
pub(crate) struct Pruned {
    pub removed: Vec<String>,
    pub failed: Vec<Error>,
}

/// Removes every container that does not run and matches `filters`. Volumes stay: none of them was named.
pub(crate) fn prune(dirs: &Dirs, filters: &[String]) -> Result<Pruned> {
    for filter in filters {
        let key = filter.split('=').next().unwrap_or_default();
        if !["label", "label!", "until"].contains(&key) {
            return Err(Error::new(format!("{key} is an invalid filter")).hint("prune knows label and until"));
        }
    }
    let filters = Filters::parse(dirs, filters)?;
    let mut pruned = Pruned::default();
    for container in store::list(dirs)? {
        let state = container.state(dirs)?;
        if !matches!(state.status, Status::Created | Status::Exited) || !filters.match_all(&container, &state) {
            continue;
        }
        let removal = Removal { force: false, seconds: None, volumes: false };
        match lifecycle::remove(dirs, &container, removal) {
            Ok(()) => pruned.removed.push(container.record.id),
            // Started, or removed, since we looked.
            Err(e) if matches!(e.kind(), Kind::Conflict | Kind::NoSuchObject) => {}
            Err(e) => pruned.failed.push(e),
        }
    }
    Ok(pruned)
}
