//! Stores of others that this user's images and containers may use: a site's, or one on a network file system. They are only read;
//! what is in them is neither copied nor removed nor counted.
//!
//! Named by `RPOD_IMAGE_STORES` (directories separated by colons) or by `additionalimagestores` in storage.conf
//! (containers-storage.conf(5)). In that file there may be stores in Podman's format too, which are passed over.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::Access;

use crate::config::storage;
use crate::error::{Error, Result};

const ENV: &str = "RPOD_IMAGE_STORES";

/// The stores, looked for when something is not in the user's own one.
#[derive(Debug, Clone, Default)]
pub(super) struct Additional {
    named: Vec<PathBuf>,
    found: Arc<OnceLock<Vec<PathBuf>>>,
}

impl Additional {
    /// # Errors
    /// When a store that the environment names is none.
    pub(super) fn from_env(own: &Path) -> Result<Self> {
        let value = std::env::var_os(ENV).unwrap_or_default();
        let named: Vec<PathBuf> = value
            .as_bytes()
            .split(|byte| *byte == b':')
            .filter(|path| !path.is_empty())
            .map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path)))
            .filter(|path| path != own)
            .collect();
        match named.iter().find(|path| !is_store(path)) {
            Some(path) => Err(Error::new(format!("{} is not a store of rpod that can be read", path.display()))
                .hint(format!("{ENV} names it: the directory that --root or RPOD_ROOT is for whoever fills it"))),
            None => Ok(Self { named, found: Arc::default() }),
        }
    }

    /// Their data directories, in the order to look.
    pub(super) fn stores(&self) -> &[PathBuf] {
        self.found.get_or_init(|| {
            // What is configured for everybody need not be mounted here.
            let configured = storage::additional_image_stores().into_iter().filter(|path| is_store(path));
            self.named.iter().cloned().chain(configured.filter(|path| !self.named.contains(path))).collect()
        })
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        !self.stores().is_empty()
    }

    /// `below` in the first store that has it.
    pub(super) fn find(&self, below: &Path) -> Option<PathBuf> {
        self.stores()
            .iter()
            .map(|store| store.join(below))
            .find(|path| rustix::fs::access(path, Access::EXISTS).is_ok())
    }
}

fn is_store(path: &Path) -> bool {
    ["layers", "refs", "blobs/sha256"].iter().all(|below| path.join(below).is_dir())
}
