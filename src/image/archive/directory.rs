//! Images as files in a directory: an OCI layout (`oci:`), or one image's manifest and blobs (`dir:`).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, ResolveFlags};

use crate::error::{Context, Error, Result};
use crate::image::manifest::{Descriptor, Document};
use crate::state::given;
use crate::sys::lookup::openat2;

/// A directory to write to.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Makes the directory when it is not there. What an OCI layout holds already stays.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        given::create_directories(path).context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path.to_path_buf()))
    }

    pub(super) fn make(&self, name: &str) -> Result<()> {
        let path = self.0.join(name);
        given::create_directories(&path).context(|| format!("cannot create {}", path.display()))
    }

    /// Written under another name first: what is there is whole.
    pub(super) fn write(&self, name: &str, content: &mut impl Read) -> Result<()> {
        let path = self.0.join(name);
        let part = path.with_file_name(format!(".rpod-{}.part", std::process::id()));
        let what = || format!("cannot write {}", path.display());
        let written = (|| {
            let mut file = given::create(&part)?;
            std::io::copy(content, &mut file)?;
            std::fs::rename(&part, &path)
        })();
        if written.is_err() {
            // The first error is the one worth telling.
            let _ = std::fs::remove_file(&part);
        }
        written.context(what)
    }

    /// The entries of the index that is there, without those that `new` replaces.
    pub(super) fn others(&self, new: &[Descriptor]) -> Result<Vec<Descriptor>> {
        let path = self.0.join("index.json");
        let what = || format!("cannot use {}", path.display());
        let content = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            content => content.context(what)?,
        };
        let Document::Index(index) = Document::parse(&content, None).context(what)? else {
            return Err(Error::new(format!("{} is not an index", path.display())));
        };
        let key = |entry: &Descriptor| entry.annotation("org.opencontainers.image.ref.name").map(str::to_owned);
        let replaced = |old: &Descriptor| {
            new.iter().any(|new| match (key(old), key(new)) {
                (None, None) => old.digest == new.digest,
                (old, new) => old == new,
            })
        };
        Ok(index.manifests.into_iter().filter(|old| !replaced(old)).collect())
    }
}

/// A file below `dir`, never outside of it.
pub(super) fn open(dir: &File, name: &str) -> std::io::Result<File> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(dir, name, OFlags::RDONLY | OFlags::NONBLOCK, resolve)?);
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    Ok(file)
}
