//! `image prune`: removes images that nothing needs.

use std::collections::HashSet;

use super::{Filter, RemoveOptions, collect, list, remove};
use crate::engine::container::{elsewhere, store as container};
use crate::engine::events;
use crate::error::{Error, Kind, Result};
use crate::state::paths::Dirs;
use crate::storage::{Freed, Store};

/// What became of each image that was to go.
#[derive(Debug, Default)]
pub(crate) struct Pruned {
    /// Ids.
    pub removed: Vec<String>,
    pub failed: Vec<Error>,
    /// `None` while somebody fetches an image: whoever collects next frees the room.
    pub freed: Option<Freed>,
}

/// The ids of images that containers were made from.
pub(crate) fn used(dirs: &Dirs) -> Result<HashSet<String>> {
    let own = container::list(dirs)?.into_iter().map(|container| container.record.image_id);
    Ok(own.chain(elsewhere::uses(dirs)?.into_iter().map(|used| used.image_id)).collect())
}

/// Removes images without a name, with `all` every image, unless a container was made from it or a filter speaks against it.
pub(crate) fn prune(dirs: &Dirs, store: &Store, all: bool, filters: &[String]) -> Result<Pruned> {
    for filter in filters {
        let key = filter.split('=').next().unwrap_or_default();
        if !["label", "label!", "until"].contains(&key) {
            return Err(Error::new(format!("{key} is an invalid filter")).hint("prune knows label and until"));
        }
    }
    // Before any name has gone: nothing could be freed.
    store.no_damaged_refs()?;
    container::keep(dirs)?;
    let used = used(dirs)?;
    let filter = Filter::parse(store, filters, None, || Ok(HashSet::new()))?;
    let mut pruned = Pruned::default();
    for listed in list(store)?.0 {
        let id = listed.image.id.hex();
        if listed.read_only || used.contains(&id) || !all && !listed.is_dangling() || filter.names(&listed).is_none() {
            continue;
        }
        let options = RemoveOptions { all_names: true, ..RemoveOptions::default() };
        // A container may have been made since.
        let users = |_: &_| {
            Ok(container::list(dirs)?.into_iter().filter(|c| c.record.image_id == id).map(|c| c.record.id).collect())
        };
        match remove(store, &id, options, &users) {
            Ok(removal) => {
                removal.deleted.iter().for_each(|id| events::image(dirs, "remove", id, ""));
                pruned.removed.extend(removal.deleted);
            }
            Err(e) if matches!(e.kind(), Kind::Conflict | Kind::NoSuchObject) => {}
            Err(e) => pruned.failed.push(e),
        }
    }
    pruned.freed = collect(dirs, store)?;
    if let Some(freed) = pruned.freed.as_mut().filter(|_| all && filters.is_empty()) {
        // What a pull that was cut off would go on with.
        freed.bytes += store.drop_partials()?;
    }
    Ok(pruned)
}
