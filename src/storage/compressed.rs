//! `layers/<diffid>/compressed/<digest>`: a layer as it came, kept beside its files for those who want the same digest to go out
//! again when the registry that it came from has gone. Only its own bytes can give that: most layers in the world were
//! compressed by Go's libraries, whose choices nothing else makes. It takes a third of the layer's room once more, so it is
//! only done when asked for.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::collect::Freed;
use super::partial::Partial;
use super::{Layer, Store};
use crate::error::{Context, Error, Result};
use crate::image::digest::{DiffId, Digest};
use crate::state::paths::create_private;

/// Asks for it for every pull and load.
const ENV: &str = "RPOD_KEEP_COMPRESSED";

/// A form that is kept.
#[derive(Debug)]
pub(crate) struct Compressed {
    pub diff_id: DiffId,
    pub digest: Digest,
    path: PathBuf,
}

impl Store {
    /// Keeps what is fetched from now on as it comes, too.
    pub(crate) fn keep_compressed(mut self) -> Self {
        self.keeps_compressed = true;
        self
    }

    /// Whether a layer that comes as `digest` is to be kept so: wanted, compressed, and not there. Not beside a layer in a
    /// store that is only read.
    pub(crate) fn wants_compressed(&self, diff_id: &DiffId, digest: &Digest) -> bool {
        self.keeps_compressed
            && digest != diff_id
            && self.compressed(diff_id, digest).is_none()
            && (self.layer_dir(diff_id).exists() || self.layer(diff_id).is_none())
    }

    /// The layer in the form of that digest, if it was kept. Its content is not looked at.
    pub(crate) fn compressed(&self, diff_id: &DiffId, digest: &Digest) -> Option<File> {
        File::open(place(&self.layer(diff_id)?, digest)).ok()
    }

    /// Keeps a form of a layer that is in its place. Whoever holds the layer's lock may.
    pub(crate) fn put_compressed(&self, diff_id: &DiffId, digest: &Digest, partial: Partial) -> Result<()> {
        let path = place(&Layer::at(self.layer_dir(diff_id)), digest);
        create_private(path.parent().unwrap_or(&path))?;
        partial.move_to(&path)
    }

    /// Every form that is kept in the user's own store.
    pub(crate) fn list_compressed(&self) -> Result<Vec<Compressed>> {
        let mut found = Vec::new();
        for diff_id in self.list_layers()? {
            let dir = self.layer_dir(&diff_id).join(DIRECTORY);
            let entries = match std::fs::read_dir(&dir) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.context(|| format!("cannot read {}", dir.display()))?,
            };
            for entry in entries {
                let entry = entry.context(|| format!("cannot read {}", dir.display()))?;
                let digest = entry.file_name().to_str().and_then(|name| format!("sha256:{name}").parse().ok());
                found.extend(digest.map(|digest| Compressed { diff_id, digest, path: entry.path() }));
            }
        }
        Ok(found)
    }

    /// Removes those of layers that stay which no manifest in `named` calls so any more.
    pub(super) fn forget_compressed(&self, named: &HashSet<Digest>, freed: &mut Freed) -> Result<()> {
        for kept in self.list_compressed()?.into_iter().filter(|kept| !named.contains(&kept.digest)) {
            freed.bytes += kept.size();
            kept.remove()?;
        }
        Ok(())
    }

    /// Bytes of the forms that are kept of a layer.
    pub(super) fn size_of_compressed(&self, diff_id: &DiffId) -> u64 {
        let entries = std::fs::read_dir(self.layer_dir(diff_id).join(DIRECTORY)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.size()).sum()
    }
}

impl Compressed {
    /// What is wrong with it, if anything; reads all of it.
    pub(crate) fn damage(&self) -> Option<String> {
        let read = || {
            let mut hash = Sha256::new();
            std::io::copy(&mut File::open(&self.path)?, &mut Hasher(&mut hash))?;
            Ok::<_, std::io::Error>(Digest::from_bytes(hash.finalize().into()))
        };
        match read() {
            Ok(found) if found == self.digest => None,
            Ok(found) => Some(format!("its digest is {found}")),
            Err(e) => Some(Error::wrap(format!("cannot read {}", self.path.display()), e).to_string()),
        }
    }

    /// The layer itself stays.
    pub(crate) fn remove(&self) -> Result<()> {
        super::remove::path(&self.path)?;
        // Fails where other forms are left.
        let _ = self.path.parent().map(std::fs::remove_dir);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.path.metadata().map_or(0, |meta| meta.size())
    }
}

const DIRECTORY: &str = "compressed";

fn place(layer: &Layer, digest: &Digest) -> PathBuf {
    layer.directory().join(DIRECTORY).join(digest.hex())
}

/// What the environment says.
pub(super) fn from_env() -> Result<bool> {
    match std::env::var_os(ENV).unwrap_or_default().to_str() {
        Some("" | "0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        _ => Err(Error::new(format!("{ENV} is neither true nor false"))),
    }
}

struct Hasher<'a>(&'a mut Sha256);

impl std::io::Write for Hasher<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
