//! Where the files of a tar are, so that they can be read at random; or a directory with the same files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tar::EntryType;

use crate::error::{Context, Error, Result};

/// An image has a few files per layer; more than this is not an image.
const MAX_ENTRIES: usize = 100_000;
const MAX_LINKS: usize = 8;

#[derive(Debug)]
pub(crate) struct Index(Kind);

#[derive(Debug)]
enum Kind {
    Tar {
        file: Arc<File>,
        entries: HashMap<String, Entry>,
    },
    /// The same files, unpacked.
    Directory(File),
}

#[derive(Debug)]
enum Entry {
    File {
        offset: u64,
        size: u64,
    },
    /// Old docker archives write a layer once and link to it.
    Link(String),
}

/// A file within the archive. Reads by offset, so many can be read at once.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    file: Arc<File>,
    offset: u64,
    remaining: u64,
}

impl Index {
    /// Reads the headers of an uncompressed tar.
    pub(crate) fn read(mut file: File) -> Result<Self> {
        // Offsets count from the file's beginning, wherever it was read up to.
        file.rewind().context(|| "cannot read the archive: it is not a file")?;
        let length = file.metadata().context(|| "cannot examine the archive")?.len();
        let mut entries = HashMap::new();
        let mut archive = tar::Archive::new(BufReader::with_capacity(512, &file));
        let found = archive.entries_with_seek().context(|| "cannot read the archive")?;
        for entry in found {
            // The library would show the bytes that it could not read.
            let entry = entry.map_err(|_| Error::new("cannot read the archive: it is not a tar, or damaged"))?;
            if entries.len() >= MAX_ENTRIES {
                return Err(Error::new(format!(
                    "the archive has more than {MAX_ENTRIES} files: it is not one of images"
                )));
            }
            let name = std::str::from_utf8(&entry.path_bytes()).ok().and_then(|path| resolve("", path));
            let Some(name) = name else { continue };
            let value = match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let (offset, size) = (entry.raw_file_position(), entry.size());
                    if offset.checked_add(size).is_none_or(|end| end > length) {
                        return Err(Error::new(format!("the archive is truncated: {name} is not all there")));
                    }
                    Entry::File { offset, size }
                }
                EntryType::Symlink | EntryType::Link => {
                    let Some(target) = entry.link_name_bytes().and_then(|t| String::from_utf8(t.into_owned()).ok())
                    else {
                        continue;
                    };
                    let is_symlink = entry.header().entry_type() == EntryType::Symlink;
                    let base = if is_symlink { name.rsplit_once('/').map_or("", |(dir, _)| dir) } else { "" };
                    let Some(target) = resolve(base, &target) else { continue };
                    Entry::Link(target)
                }
                _ => continue,
            };
            // The last of equal names counts, as it would when unpacked.
            entries.insert(name, value);
        }
        drop(archive);
        if entries.is_empty() {
            return Err(Error::new("the archive is empty or not a tar"));
        }
        Ok(Self(Kind::Tar { file: Arc::new(file), entries }))
    }

    /// A directory with the files in it.
    pub(crate) fn directory(path: &Path) -> Result<Self> {
        let what = || format!("cannot open {}", path.display());
        let file = File::open(path).context(what)?;
        if !file.metadata().context(what)?.is_dir() {
            return Err(Error::new(format!("{} is not a directory", path.display())));
        }
        Ok(Self(Kind::Directory(file)))
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        match &self.0 {
            Kind::Tar { entries, .. } => entries.contains_key(name),
            Kind::Directory(dir) => super::directory::open(dir, name).is_ok(),
        }
    }

    /// The file `name`, through links.
    pub(crate) fn section(&self, name: &str) -> Result<Section> {
        let missing = || Error::new(format!("{name:?} is missing from the archive"));
        let (file, entries) = match &self.0 {
            Kind::Tar { file, entries } => (file, entries),
            Kind::Directory(dir) => {
                let what = || format!("cannot open {name:?} of the image");
                let file = super::directory::open(dir, name).context(what)?;
                let remaining = file.metadata().context(what)?.len();
                return Ok(Section { file: Arc::new(file), offset: 0, remaining });
            }
        };
        let mut key = resolve("", name).ok_or_else(missing)?;
        for _ in 0..MAX_LINKS {
            match entries.get(&key).ok_or_else(missing)? {
                Entry::File { offset, size } => {
                    return Ok(Section { file: Arc::clone(file), offset: *offset, remaining: *size });
                }
                Entry::Link(target) => key.clone_from(target),
            }
        }
        Err(Error::new(format!("{name:?} is a loop of links in the archive")))
    }

    /// A whole file of at most `limit` bytes.
    pub(crate) fn read_file(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let mut section = self.section(name)?;
        if section.remaining > limit {
            return Err(Error::new(format!("{name:?} in the archive is larger than {limit} bytes")));
        }
        let mut content = Vec::new();
        section.read_to_end(&mut content).context(|| format!("cannot read {name:?} from the archive"))?;
        Ok(content)
    }
}

impl Section {
    pub(crate) fn len(&self) -> u64 {
        self.remaining
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..most], self.offset)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive became shorter while it was read"));
        }
        self.offset += read as u64;
        self.remaining -= read as u64;
        Ok(read)
    }
}

/// `path` seen from the directory `base`, without `.` and `..`; `None` when it leads out of the archive.
fn resolve(base: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = if path.starts_with('/') { Vec::new() } else { base.split('/').collect() };
    parts.retain(|part| !part.is_empty());
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
