//! `export`: the whole root file system of a container as a tar.

use std::fs::File;

use crate::engine::container::store::Container;
use crate::error::Result;
use crate::storage::diff;
use crate::userns::{IdMaps, enter};

/// Writes the tar to `output`. For a single-threaded process.
pub(crate) fn export(container: &Container, output: &File) -> Result<()> {
    let directories = container.config()?.rootfs.directories();
    enter::run(&IdMaps::for_user()?, || diff::export(&directories, output))
}
