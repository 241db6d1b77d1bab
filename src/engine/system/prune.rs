//! The images that `system prune` removes.

use crate::engine::container::store as containers;
use crate::engine::events;
use crate::engine::images::{self, RemoveOptions};
use crate::error::{Kind, Result};
use crate::image::digest::Digest;
use crate::state::paths::Dirs;
use crate::storage::Store;

/// Removes images that no container uses and, unless `all`, that have no name; answers their ids. For a single-threaded
/// process.
pub(crate) fn images(dirs: &Dirs, store: &Store, all: bool, filters: &[String]) -> Result<Vec<String>> {
    let filter = images::Filter::parse(store, filters, None, || images::used(dirs))?;
    let used: Vec<String> = containers::list(dirs)?.into_iter().map(|container| container.record.image_id).collect();
    // Asked again at the last moment.
    let users = |image: &Digest| -> Result<Vec<String>> {
        let users = containers::list(dirs)?.into_iter().filter(|container| container.record.image_id == image.hex());
        Ok(users.map(|container| container.record.id).collect())
    };
    let mut gone = Vec::new();
    for listed in images::list(store)?.0 {
        let id = listed.image.id.hex();
        if used.contains(&id) || (!all && !listed.tags.is_empty()) || filter.names(&listed).is_none() {
            continue;
        }
        let options = RemoveOptions { force: false, ignore: true, all_names: true };
        match images::remove(store, &id, options, &users) {
            Ok(removal) if removal.deleted.is_some() => {
                events::image(dirs, "remove", &id, "");
                gone.push(id);
            }
            Ok(_) => {}
            Err(e) if e.kind() == Kind::Conflict => {}
            Err(e) => return Err(e),
        }
    }
    // A container that was started meanwhile keeps its layers: what it needs is asked for at this moment.
    images::collect(dirs, store)?;
    Ok(gone)
}
