//! Volumes: directories that containers share and that outlive them.
//!
//! ```text
//! data/volumes/<name>/_data         what is mounted
//! data/volumes/<name>/volume.json   when and how it was made; written last: without it the volume is half-made
//! ```

use std::path::{Path, PathBuf};

/// A volume that a container mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeUse {
    pub name: String,
    /// Removed together with the container.
    pub anonymous: bool,
    /// Where in the container, and from where a new volume gets its first content.
    pub destination: String,
    pub copy: bool,
}

/// The directory of a volume that is mounted. `name` has been checked.
pub(crate) fn data_dir(volumes: &Path, name: &str) -> PathBuf {
    volumes.join(name).join("_data")
}
