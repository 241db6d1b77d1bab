//! `export`: the whole root file system of a container as a tar.

use std::fs::File;

use crate::engine::container::store::Container;
use crate::error::Result;
use crate::storage::diff::{self, Ids};
use crate::userns::{IdMaps, enter};

/// Writes the tar to `output`. For a single-threaded process.
pub(crate) fn export(container: &Container, output: &File) -> Result<()> {
    let config = container.config()?;
    let (directories, maps) = (config.rootfs.directories(), IdMaps::for_user()?);
    let ids = Ids::new(&maps, config.maps.as_ref());
    enter::run(&maps, || diff::export(&directories, &ids, output))
}
