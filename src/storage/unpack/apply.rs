//! Writes one layer's entries below its `diff/` directory, as containerd and Docker do, with two promises of its own:
//! nothing outside of that directory is touched whatever the entries say, and no content is lost, so that the tar can
//! be rebuilt: what a later entry replaces moves to `aside/`.
//!
//! Directories get their owner, mode and times last: a set-group-ID bit, a default ACL or a missing write bit must not
//! touch what is made in them, and making it would change their times.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fchmod, fchown, linkat, makedev, mkdirat, mknodat, openat, renameat, statat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::attributes::{self, Setter};
use super::chunk::Blocks;
use super::entry::{Attributes, Entry, Kind};
use super::record::{Content, Recorder, padding};
use super::tape::{self, Tape};
use super::tree::{Step, Tree, components};
use crate::error::{Context, Error, Result};
use crate::storage::layer::Skipped;
use crate::storage::{remove, whiteout};
use crate::userns::IdMaps;

const NEW_FILE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Memory for directories' attributes: a million with long names. Real layers need a few hundred kilobytes.
const MAX_WAITING: usize = 256 << 20;

/// A layer being unpacked.
pub(super) struct Apply {
    tree: Tree,
    aside: OwnedFd,
    record: Recorder,
    setter: Setter,
    /// By path; also tells which directories an entry of this layer named.
    directories: BTreeMap<Vec<u8>, Attributes>,
    /// Bytes of names and attributes that `directories` was given.
    waiting: usize,
    contents: Contents,
    unpacked: u64,
}

/// What was unpacked, apart from its digest.
#[derive(Debug)]
pub(super) struct Applied {
    pub entries: u64,
    pub unpacked: u64,
    pub skipped: Skipped,
}

impl Apply {
    pub(super) fn new(diff: OwnedFd, aside: OwnedFd, record: Recorder, maps: IdMaps) -> Result<Self> {
        // The store's directory may pass on a group or a default mode of its own.
        fchown(&diff, Some(rustix::fs::Uid::ROOT), Some(rustix::fs::Gid::ROOT))
            .and_then(|()| fchmod(&diff, Mode::from_raw_mode(0o755)))
            .context(|| "cannot prepare the layer's directory")?;
        let setter = Setter { maps, skipped: Skipped::default() };
        Ok(Self {
            tree: Tree::new(diff)?,
            aside,
            record,
            setter,
            directories: BTreeMap::new(),
            waiting: 0,
            contents: Contents::default(),
            unpacked: 0,
        })
    }

    pub(super) fn record(&mut self) -> &mut Recorder {
        &mut self.record
    }

    /// Writes `entry`; its payload comes from `blocks`.
    pub(super) fn entry(&mut self, entry: &Entry, blocks: &mut Blocks) -> Result<()> {
        let path = components(&entry.path)?;
        let Some((name, parents)) = path.split_last() else {
            return self.root(entry);
        };
        if parents.iter().chain([name]).any(|part| part.starts_with(whiteout::AUFS) && *part != whiteout::OPAQUE) {
            return self.payload_without_file(entry, blocks);
        }
        if parents.iter().any(|part| part.starts_with(whiteout::PREFIX)) {
            return Err(Error::new(format!("the layer has a file below a whiteout: {}", entry.path.escape_ascii())));
        }
        self.enter(parents)?;
        if let Some(hidden) = name.strip_prefix(whiteout::PREFIX) {
            self.whiteout(hidden, name)?;
            return self.payload_without_file(entry, blocks);
        }
        match entry.kind {
            Kind::File => self.file(name, entry, blocks),
            Kind::Directory => self.directory(name, entry),
            Kind::HardLink => self.hard_link(parents, name, entry),
            _ => self.special(name, entry),
        }
    }

    /// Applies what had to wait and writes what follows the last entry.
    pub(super) fn finish(mut self, blocks: &mut Blocks) -> Result<Applied> {
        loop {
            let bytes = blocks.fill()?;
            if bytes.is_empty() {
                break;
            }
            let length = bytes.len();
            self.record.raw(bytes)?;
            blocks.consume(length);
        }
        for (path, attributes) in std::mem::take(&mut self.directories) {
            let path = components(&path)?;
            if !matches!(self.tree.enter(&path)?, Step::Done) {
                continue;
            }
            let set = self.setter.directory(self.tree.current(), &attributes);
            attributes::failed(&path.join(&b'/').escape_ascii().to_string(), set)?;
        }
        let entries = self.record.finish()?;
        Ok(Applied { entries, unpacked: self.unpacked, skipped: self.setter.skipped })
    }

    /// `./`: the root's own attributes.
    fn root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Error::new("the layer's root is not a directory"));
        }
        self.postpone(Vec::new(), &entry.attributes)
    }

    /// Enters the parent of an entry, making what is missing.
    fn enter(&mut self, parents: &[&[u8]]) -> Result<()> {
        loop {
            match self.tree.enter(parents)? {
                Step::Done => return Ok(()),
                Step::Missing(at) => self.make_directory(parents[at])?,
                Step::InTheWay(at) => self.make_directory(parents[at])?,
            }
        }
    }

    /// Makes a directory in the current one; one that is there stays, anything else gives way.
    fn make_directory(&mut self, name: &[u8]) -> Result<()> {
        let mut opaque = false;
        loop {
            match mkdirat(self.tree.current(), name, Mode::from_raw_mode(0o755)) {
                Ok(()) => break,
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e).context(|| format!("cannot create {}", self.tree.shown(name))),
            }
            let stat = statat(self.tree.current(), name, AtFlags::SYMLINK_NOFOLLOW)
                .context(|| format!("cannot examine {}", self.tree.shown(name)))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                return Ok(());
            }
            // A whiteout hid a directory of the layers below: nothing of that may show in the new one.
            opaque = whiteout::is(self.tree.current(), name, &stat);
            self.displace(name)?;
        }
        if opaque {
            self.make_opaque(name)?;
        }
        Ok(())
    }

    fn make_opaque(&self, name: &[u8]) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(self.tree.current(), name, flags, Mode::empty())
            .and_then(|directory| whiteout::make_opaque(directory.as_fd()))
            .context(|| format!("cannot make {} opaque", self.tree.shown(name)))
    }

    fn file(&mut self, name: &[u8], entry: &Entry, blocks: &mut Blocks) -> Result<()> {
        let mode = Mode::from_raw_mode(entry.attributes.mode);
        let file = self.replacing(name, |parent| openat(parent, name, NEW_FILE, mode))?;
        tape::write_payload(blocks, entry, file.as_fd())?;
        self.unpacked += entry.payload;
        if entry.payload > 0 {
            let path = self.tree.path_of(name);
            self.contents.add(&path, self.record.next_content());
            let padding = read_padding(entry.payload, blocks)?;
            let segments = entry.sparse.as_ref().map(|sparse| sparse.segments.clone());
            let padded = padding.iter().all(|byte| *byte == 0);
            self.record.content(&Content { path, size: entry.payload, padded, segments })?;
            if !padded {
                self.record.raw(&padding)?;
            }
        }
        let set = self.setter.file(file.as_fd(), &entry.attributes);
        attributes::failed(&entry.path.escape_ascii().to_string(), set)
    }

    fn directory(&mut self, name: &[u8], entry: &Entry) -> Result<()> {
        self.make_directory(name)?;
        self.postpone(self.tree.path_of(name), &entry.attributes)
    }

    fn postpone(&mut self, path: Vec<u8>, attributes: &Attributes) -> Result<()> {
        let xattrs = attributes.xattrs.iter().map(|(name, value)| name.len() + value.len());
        self.waiting += path.len() + xattrs.sum::<usize>() + size_of::<Attributes>();
        if self.waiting > MAX_WAITING {
            return Err(Error::new("the names and attributes of the layer's directories need too much memory"));
        }
        self.directories.insert(path, attributes.clone());
        Ok(())
    }

    fn hard_link(&mut self, parents: &[&[u8]], name: &[u8], entry: &Entry) -> Result<()> {
        let failed =
            || format!("cannot link {} to {} in the layer", entry.path.escape_ascii(), entry.link.escape_ascii());
        let target = components(&entry.link)?;
        let (target_name, target_parents) = target.split_last().ok_or_else(|| Error::new(failed()))?;
        if !matches!(self.tree.enter(target_parents)?, Step::Done) {
            return Err(Error::wrap(failed(), Errno::NOENT));
        }
        let target_parent = self.tree.current().try_clone_to_owned().context(failed)?;
        let target_path = self.tree.path_of(target_name);
        self.enter(parents)?;
        if self.tree.path_of(name) == target_path {
            return Err(Error::new(format!("{}: a link to itself", failed())));
        }
        // Looked at first, because the old file of that name goes away before the link is made.
        let target = statat(&target_parent, *target_name, AtFlags::SYMLINK_NOFOLLOW).context(failed)?;
        if FileType::from_raw_mode(target.st_mode) == FileType::Directory {
            return Err(Error::new(format!("{}: it is a directory", failed())));
        }
        match self.replacing(name, |parent| linkat(&target_parent, *target_name, parent, name, AtFlags::empty())) {
            Ok(()) => self.linked(name, entry, &target),
            Err(e) => Err(Error::wrap(failed(), e)),
        }
    }

    /// A hard link's header counts for the file, which other names have as well: as Docker and Podman do it.
    fn linked(&mut self, name: &[u8], entry: &Entry, target: &Stat) -> Result<()> {
        if FileType::from_raw_mode(target.st_mode) != FileType::RegularFile
            || self.setter.has(target, &entry.attributes)
        {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let set = openat(self.tree.current(), name, flags, Mode::empty())
            .and_then(|file| self.setter.linked(file.as_fd(), &entry.attributes));
        attributes::failed(&entry.path.escape_ascii().to_string(), set)
    }

    /// Symbolic links, devices, named pipes.
    fn special(&mut self, name: &[u8], entry: &Entry) -> Result<()> {
        let device = makedev(entry.device.0, entry.device.1);
        // A file could not be made so: a device where this user may make none, and one that would be a whiteout.
        let mode = Mode::from_raw_mode(entry.attributes.mode);
        let made = match entry.kind {
            Kind::Symlink => self.replacing(name, |parent| symlinkat(&entry.link[..], parent, name)),
            Kind::Fifo => self.replacing(name, |parent| mknodat(parent, name, FileType::Fifo, mode, 0)),
            Kind::CharacterDevice if device == 0 => return self.skip_device(name),
            kind => {
                let file_type =
                    if kind == Kind::BlockDevice { FileType::BlockDevice } else { FileType::CharacterDevice };
                let parent = self.tree.current();
                match mknodat(parent, name, file_type, mode, device) {
                    Err(Errno::PERM | Errno::ACCESS) => return self.skip_device(name),
                    Err(Errno::EXIST) => self.replacing(name, |parent| mknodat(parent, name, file_type, mode, device)),
                    result => result.context(|| format!("cannot create {}", self.tree.shown(name))),
                }
            }
        };
        made?;
        let set = self.setter.special(self.tree.current(), name, &entry.attributes);
        attributes::failed(&entry.path.escape_ascii().to_string(), set)
    }

    /// The entry would have taken the place of an earlier one.
    fn skip_device(&mut self, name: &[u8]) -> Result<()> {
        self.setter.skipped.devices += 1;
        self.displace(name)
    }

    /// `.wh.NAME`: removes NAME of the layers below, and shows NAME of this layer if there is one.
    fn whiteout(&mut self, hidden: &[u8], name: &[u8]) -> Result<()> {
        if name == whiteout::OPAQUE {
            let made = whiteout::make_opaque(self.tree.current());
            return made.context(|| format!("cannot make {} opaque", self.tree.shown(b"")));
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Error::new(format!("the layer has an impossible whiteout: {}", self.tree.shown(name))));
        }
        let failed = || format!("cannot write the whiteout {}", self.tree.shown(name));
        match statat(self.tree.current(), hidden, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => whiteout::make(self.tree.current(), hidden).context(failed),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => self.make_opaque(hidden),
            Ok(_) => Ok(()),
            Err(e) => Err(e).context(failed),
        }
    }

    /// An entry that makes no file may still have a payload.
    fn payload_without_file(&mut self, entry: &Entry, blocks: &mut Blocks) -> Result<()> {
        let record = &mut self.record;
        blocks.take(entry.payload + padding(entry.payload), &mut |bytes| record.raw(bytes))
    }

    /// Makes something in the current directory; what has the name already gives way.
    fn replacing<T>(&mut self, name: &[u8], make: impl Fn(BorrowedFd<'_>) -> Result<T, Errno>) -> Result<T> {
        let made = match make(self.tree.current()) {
            Err(Errno::EXIST) => {
                self.displace(name)?;
                make(self.tree.current())
            }
            made => made,
        };
        made.context(|| format!("cannot create {}", self.tree.shown(name)))
    }

    /// Takes `name` out of the current directory. Recorded content moves to `aside/`.
    fn displace(&mut self, name: &[u8]) -> Result<()> {
        let failed = |tree: &Tree| format!("cannot replace {}", tree.shown(name));
        let path = self.tree.path_of(name);
        if let Some(number) = self.contents.take(&path) {
            return renameat(self.tree.current(), name, &self.aside, number.to_string()).context(|| failed(&self.tree));
        }
        match unlinkat(self.tree.current(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(e) => return Err(e).context(|| failed(&self.tree)),
        }
        let below = [&path[..], b"/"].concat();
        self.directories.remove(&path);
        let gone: Vec<Vec<u8>> = self
            .directories
            .range(below.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&below))
            .cloned()
            .collect();
        for directory in gone {
            self.directories.remove(&directory);
        }
        let (contents, aside) = (&mut self.contents, &self.aside);
        remove::tree(self.tree.current(), name, &path, &mut |parent, name, path| match contents.take(path) {
            Some(number) => renameat(parent, name, aside, number.to_string()),
            None => unlinkat(parent, name, AtFlags::empty()),
        })
        .context(|| failed(&self.tree))
    }
}

fn read_padding(size: u64, blocks: &mut Blocks) -> Result<Vec<u8>> {
    let mut padding_bytes = Vec::new();
    blocks.take(padding(size), &mut |bytes| {
        padding_bytes.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(padding_bytes)
}

/// Which files hold recorded content. A layer may have millions, so a path is kept as a 128-bit keyed hash.
#[derive(Debug, Default)]
struct Contents {
    numbers: HashMap<(u64, u64), u32>,
    keys: (RandomState, RandomState),
}

impl Contents {
    fn add(&mut self, path: &[u8], number: u32) {
        let key = self.key(path);
        self.numbers.insert(key, number);
    }

    fn take(&mut self, path: &[u8]) -> Option<u32> {
        let key = self.key(path);
        self.numbers.remove(&key)
    }

    fn key(&self, path: &[u8]) -> (u64, u64) {
        (self.keys.0.hash_one(path), self.keys.1.hash_one(path))
    }
}
