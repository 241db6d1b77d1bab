//! `system dedup`: equal files of different layers take their room once.

use crate::engine::container::store as container;
use crate::engine::images;
use crate::error::Result;
use crate::image::digest::DiffId;
use crate::state::paths::Dirs;
use crate::storage::{Shared, Store};

/// By shared blocks, or by hard links where no container can mistake one file for another. For a single-threaded process.
pub(crate) fn dedup(dirs: &Dirs, store: &Store, hard_links: bool) -> Result<Shared> {
    if !hard_links {
        return store.share_blocks();
    }
    let images: Vec<Vec<DiffId>> = images::list(store)?.0.into_iter().map(|listed| listed.image.layers).collect();
    store.share_links(&images, || container::keep(dirs))
}
