//! Files that become names of one.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::fs::{CWD, OFlags, fgetxattr, fstat, futimens};
use rustix::io::Errno;

use super::{Found, Shared, read};
use crate::storage::copy::times;
use crate::storage::diff::attribute_names;

/// How to link.
pub(super) struct Links<'a> {
    /// Layers that are seen together.
    pub images: &'a [HashSet<usize>],
    /// Where a link is made before it takes the other file's place: what a crash leaves there is cleared away.
    pub beside: PathBuf,
}

/// What a container sees of a file, apart from its content and name.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    owner: (u32, u32),
    mode: u32,
    mtime: (i64, i64),
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A file that others become links to.
struct First {
    path: PathBuf,
    inode: u64,
    seen: Seen,
    layers: HashSet<usize>,
}

impl Links<'_> {
    /// Files of one size.
    pub(super) fn same_size(&self, size: u64, files: &[Found], shared: &mut Shared) -> Result<(), Errno> {
        let mut firsts: BTreeMap<_, Vec<First>> = BTreeMap::new();
        for found in files {
            let Some((file, meta, digest)) = read(&found.path) else { continue };
            let firsts = firsts.entry(digest).or_default();
            if let Some(first) = firsts.iter_mut().find(|first| first.inode == meta.ino()) {
                first.layers.insert(found.layer);
                shared.before += size;
                continue;
            }
            let seen = seen(&file, &meta)?;
            let fits = |first: &&mut First| first.seen == seen && self.are_apart(&first.layers, found.layer);
            // One with several names in its own layer keeps them.
            match firsts.iter_mut().find(fits).filter(|_| meta.nlink() == 1) {
                None => {
                    let layers = HashSet::from([found.layer]);
                    firsts.push(First { path: found.path.clone(), inode: meta.ino(), seen, layers });
                }
                Some(first) => {
                    if self.link(&first.path, &found.path)? {
                        first.layers.insert(found.layer);
                        shared.files += 1;
                        shared.bytes += size;
                    }
                }
            }
        }
        Ok(())
    }

    fn are_apart(&self, layers: &HashSet<usize>, layer: usize) -> bool {
        let together =
            |image: &HashSet<usize>| image.contains(&layer) && layers.iter().any(|other| image.contains(other));
        !layers.contains(&layer) && !self.images.iter().any(together)
    }

    /// Puts a link to `first` in the place of `path`, whose directory keeps its times; whether there can be one more.
    fn link(&self, first: &PathBuf, path: &PathBuf) -> Result<bool, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = path.parent().unwrap_or(path);
        let directory = rustix::fs::openat(CWD, parent, flags, rustix::fs::Mode::empty())?;
        let stat = fstat(&directory)?;
        match rustix::fs::link(first, &self.beside) {
            Err(Errno::MLINK | Errno::PERM | Errno::XDEV) => return Ok(false),
            linked => linked?,
        }
        rustix::fs::rename(&self.beside, path)?;
        futimens(&directory, &times(&stat))?;
        Ok(true)
    }
}

fn seen(file: &File, meta: &Metadata) -> Result<Seen, Errno> {
    let mut attributes = Vec::new();
    for name in attribute_names(file.as_fd())? {
        let mut value = vec![0; 64 << 10];
        let length = fgetxattr(file, &name[..], &mut value)?;
        value.truncate(length);
        attributes.push((name, value));
    }
    attributes.sort_unstable();
    Ok(Seen {
        owner: (meta.uid(), meta.gid()),
        mode: meta.mode(),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        attributes,
    })
}
