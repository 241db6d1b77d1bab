//! Digests of what COPY and ADD take, for the cache: names, types, modes, contents and link targets, but no times and
//! no owners.
//!
//! A file's digest is kept with its size, times and inode number (as Git's index does), so that a build of sixty
//! thousand unchanged files reads none of them. A file changed within the clock's last tick is read again.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, Stat};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::select::{Entry, Root, Source};
use crate::error::{Context, Result};
use crate::image::digest::Digest;
use crate::state::file::{self, Durability};

const BUFFER: usize = 256 << 10;
/// Nanoseconds in which a file may change without its times telling.
const TICK: i128 = 20_000_000;
const VERSION: u32 = 1;

/// The digests of one context's files.
#[derive(Debug)]
pub(crate) struct Known {
    path: PathBuf,
    files: HashMap<Vec<u8>, Seen>,
    changed: bool,
    /// Owners and extended attributes count: the files are an image's.
    whole: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    size: i64,
    inode: u64,
    device: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    digest: Digest,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    files: Vec<(String, Seen)>,
}

impl Known {
    /// Reads what is known of the context at `context`; `dir` is the build cache's.
    pub(crate) fn load(dir: &Path, context: &Path) -> Self {
        let path = dir.join("contexts").join(Digest::of(context.as_os_str().as_encoded_bytes()).hex());
        // A file that cannot be read is written again.
        let stored = file::read_json::<Stored>(&path).ok().flatten().filter(|stored| stored.version == VERSION);
        let files = stored.map(|stored| stored.files).unwrap_or_default();
        let files = files.into_iter().map(|(path, seen)| (path.into_bytes(), seen)).collect();
        Self { path, files, changed: false, whole: false }
    }

    /// For files of an image: nothing is known of them, and nothing is kept.
    pub(crate) fn of_layers() -> Self {
        Self { path: PathBuf::new(), files: HashMap::new(), changed: false, whole: true }
    }

    /// Keeps what was learned.
    pub(crate) fn store(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        if let Some(dir) = self.path.parent() {
            crate::state::paths::create_private(dir)?;
        }
        let text = |path: &Vec<u8>| String::from_utf8(path.clone()).ok();
        let files = self.files.iter().filter_map(|(path, seen)| Some((text(path)?, seen.clone()))).collect();
        file::write_json(&self.path, &Stored { version: VERSION, files }, Durability::Volatile)
    }

    /// The digest of one source.
    pub(crate) fn source(&mut self, root: &Root, source: &Source) -> Result<Digest> {
        let mut sha = Sha256::new();
        let mut put = |bytes: &[u8]| {
            sha.update((bytes.len() as u64).to_le_bytes());
            sha.update(bytes);
        };
        put(&source.name);
        put(&[u8::from(source.is_directory)]);
        for entry in &source.entries {
            put(&entry.to);
            put(&entry.stat.st_mode.to_le_bytes());
            if self.whole {
                put(&entry.stat.st_uid.to_le_bytes());
                put(&entry.stat.st_gid.to_le_bytes());
                put(&entry.stat.st_rdev.to_le_bytes());
                put(&attributes(root, entry)?);
            }
            match entry.kind() {
                FileType::RegularFile => put(self.file(root, entry)?.hex().as_bytes()),
                FileType::Symlink => {
                    let target =
                        root.link(&entry.from).context(|| format!("cannot read {}", entry.from.escape_ascii()))?;
                    put(&target);
                }
                _ => {}
            }
        }
        Ok(Digest::from_bytes(sha.finalize().into()))
    }

    fn file(&mut self, root: &Root, entry: &Entry) -> Result<Digest> {
        let mut seen = seen(&entry.stat);
        if let Some(known) = self.files.get(&entry.from) {
            seen.digest = known.digest;
            if *known == seen {
                return Ok(seen.digest);
            }
        }
        let failed = || root.unreadable(&entry.from);
        let fd = root.reopen(&entry.from, OFlags::RDONLY | OFlags::NONBLOCK).context(failed)?;
        seen.digest = Digest::from_bytes(hash(File::from(fd)).context(failed)?);
        let now = jiff::Timestamp::now().as_nanosecond();
        let latest = seen.modified.max(seen.changed);
        if now - (i128::from(latest.0) * 1_000_000_000 + i128::from(latest.1)) > TICK {
            self.files.insert(entry.from.clone(), seen.clone());
            self.changed = true;
        }
        Ok(seen.digest)
    }
}

/// The extended attributes that a copy keeps.
fn attributes(root: &Root, entry: &Entry) -> Result<Vec<u8>> {
    if entry.kind() != FileType::RegularFile {
        return Ok(Vec::new());
    }
    let failed = || format!("cannot open {}", entry.from.escape_ascii());
    let file = root.reopen(&entry.from, OFlags::RDONLY | OFlags::NONBLOCK).context(failed)?;
    let mut all = crate::build::copy::kept_attributes(&file);
    all.sort();
    Ok(all.into_iter().flat_map(|(name, value)| [name, vec![0], value, vec![0]].concat()).collect())
}

#[expect(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
fn seen(stat: &Stat) -> Seen {
    Seen {
        size: stat.st_size as i64,
        inode: stat.st_ino as u64,
        device: stat.st_dev as u64,
        modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        digest: Digest::from_bytes([0; 32]),
    }
}

pub(crate) fn hash(mut input: impl Read) -> std::io::Result<[u8; 32]> {
    let mut sha = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(sha.finalize().into()),
            Ok(read) => sha.update(&buffer[..read]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
