//! `export`: the whole root file system of a container as a tar.

use std::fs::File;

use crate::engine::container::files::changes;
use crate::engine::container::store::Container;
use crate::error::Result;
use crate::storage::Store;
use crate::storage::diff::{self, Ids};
use crate::userns::{IdMaps, enter};

/// Writes the tar to `output`. For a single-threaded process.
pub(crate) fn export(store: &Store, container: &Container, output: &File) -> Result<()> {
    let config = container.config()?;
    let maps = IdMaps::for_user()?;
    // Layers that are gone have nothing more to say.
    let below = changes::below(store, container).unwrap_or_default();
    let ids = Ids::new(&maps, config.maps.as_ref());
    enter::run(&maps, || diff::export(&config.rootfs, &below, &ids, output))
}
