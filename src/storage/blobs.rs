//! `blobs/sha256/<digest>`: manifests, indexes and configs, byte for byte as they came.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Store;
use crate::error::{Context, Error, Kind, Result};
use crate::image::digest::Digest;
use crate::state::file::{self, Durability};

/// Nothing larger is read as a blob. Manifests have a smaller limit where they come in.
const MAX_BLOB: u64 = 16 << 20;

impl Store {
    /// Keeps `content`, safe against a power cut.
    pub(crate) fn put_blob(&self, content: &[u8]) -> Result<Digest> {
        let digest = Digest::of(content);
        // A damaged file of that name is replaced.
        if self.read_blob(&digest).is_err() {
            self.write(&self.blob_path(&digest), content)?;
        }
        Ok(digest)
    }

    /// The content, checked against its digest.
    pub(crate) fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let failed = || format!("cannot read {digest}");
        let elsewhere = || {
            let found = self.additional.find(&Path::new("blobs/sha256").join(digest.hex()));
            found.map_or(Err(std::io::ErrorKind::NotFound.into()), File::open)
        };
        let file = match File::open(self.blob_path(digest)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => elsewhere(),
            file => file,
        };
        let file = match file {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(format!("{digest} is not in the store")).with_kind(Kind::NoSuchObject));
            }
            file => file.context(failed)?,
        };
        let size = file.metadata().context(failed)?.len();
        if size > MAX_BLOB {
            return Err(Error::new(format!("{digest} is larger than {MAX_BLOB} bytes")));
        }
        let content = whole(&file, size).context(failed)?;
        if Digest::of(&content) != *digest {
            return Err(Error::new(format!("{digest} is damaged in the store")).hint("pull or load the image again"));
        }
        Ok(content)
    }

    /// When the document was written here.
    pub(crate) fn blob_time(&self, digest: &Digest) -> Option<SystemTime> {
        std::fs::metadata(self.blob_path(digest)).and_then(|meta| meta.modified()).ok()
    }

    /// Every document in the user's own store.
    pub(crate) fn list_blobs(&self) -> Result<Vec<Digest>> {
        let dir = self.blobs_dir();
        let failed = || format!("cannot read {}", dir.display());
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&dir).context(failed)? {
            let name = entry.context(failed)?.file_name();
            all.extend(name.to_str().and_then(|name| format!("sha256:{name}").parse::<Digest>().ok()));
        }
        all.sort();
        Ok(all)
    }

    /// What [`Store::keep_summaries`] kept, if it can be read.
    pub(crate) fn summaries<T: DeserializeOwned>(&self) -> Option<T> {
        file::read_json(&self.summaries_path()).ok().flatten()
    }

    /// Keeps what was read in documents, for the next listing. A store that cannot be written does without.
    pub(crate) fn keep_summaries<T: Serialize>(&self, summaries: &T) {
        let _ = file::write_json(&self.summaries_path(), summaries, Durability::Volatile);
    }

    fn summaries_path(&self) -> PathBuf {
        self.data.join("summaries.json")
    }

    /// Takes a damaged document out of the store.
    pub(crate) fn remove_blob(&self, digest: &Digest) -> Result<()> {
        super::remove::path(&self.blob_path(digest))
    }

    /// Where the blob is kept, for hard links and listings.
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs_dir().join(digest.hex())
    }

    pub(super) fn blobs_dir(&self) -> PathBuf {
        self.data.join("blobs/sha256")
    }
}

/// The first `size` bytes, or fewer at the end. A listing reads hundreds of blobs, so no call is made that tells nothing new.
fn whole(mut file: &File, size: u64) -> std::io::Result<Vec<u8>> {
    let mut content = vec![0; usize::try_from(size).unwrap_or_default()];
    let mut filled = 0;
    while filled < content.len() {
        match file.read(&mut content[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    content.truncate(filled);
    Ok(content)
}
