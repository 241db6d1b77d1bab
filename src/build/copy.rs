//! Puts files into a mounted root file system, as COPY and ADD do: whatever links the image holds, nothing outside of it
//! is touched, and directories that are there keep their times.
//!
//! Runs as root of the user's map, in a process of its own.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat,
    fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, ioctl_ficlone, linkat, mkdirat, mknodat, openat,
    readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::context::select::{Entry, Root, Source, join, split};
use crate::error::{Context, Error, Result};
use crate::storage::{Skipped, remove_at};
use crate::userns::owner;

const MAX_LINKS: usize = 40;
const BUFFER: usize = 256 << 10;
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// How what is copied shall be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes {
    /// `None`: as it is at the source.
    pub owner: Option<(u32, u32)>,
    pub mode: Option<super::chmod::Chmod>,
    /// Seconds since the epoch, of everything; `None`: as it is at the source.
    pub time: Option<i64>,
}

/// The root file system that is written to.
pub(crate) struct Target<'a> {
    pub root: &'a Root,
    attributes: &'a Attributes,
    /// Directories to be finished at the end: what is made in them changes their times.
    pending: BTreeMap<Vec<u8>, Finish>,
    /// The directory used last.
    parent: Option<(Vec<u8>, OwnedFd)>,
    links: HashMap<(u64, u64), Vec<u8>>,
    /// What is in the way goes, whatever it is, and a link that is there leads nowhere.
    replaces: bool,
    /// What could not be made as it is at its source.
    skipped: Skipped,
}

#[derive(Debug)]
enum Finish {
    /// It was there: only its time is put back.
    Times(Timestamps),
    /// It is new, or its source's attributes shall count.
    All(Final),
}

/// Name and value of an extended attribute.
pub(crate) type Xattr = (Vec<u8>, Vec<u8>);

/// A file as it is at its source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct What {
    pub kind: FileType,
    pub mode: u32,
    pub owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub time: (i64, i64),
    pub device: u64,
}

impl What {
    fn of(stat: &Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            owner: (stat.st_uid, stat.st_gid),
            time: (stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            device: stat.st_rdev,
        }
    }
}

/// A file as it shall be.
#[derive(Debug)]
struct Final {
    owner: (u32, u32),
    mode: u32,
    times: Timestamps,
}

impl Final {
    fn set(&self, fd: &OwnedFd) -> Result<()> {
        change_owner(self.owner, |uid, gid| fchown(fd, uid, gid))?;
        fchmod(fd, Mode::from_raw_mode(self.mode)).context(|| "cannot set the mode")?;
        futimens(fd, &self.times).context(|| "cannot set the times")
    }

    fn set_special(&self, parent: impl AsFd, name: &[u8]) -> Result<()> {
        change_owner(self.owner, |uid, gid| chownat(parent.as_fd(), name, uid, gid, AtFlags::SYMLINK_NOFOLLOW))?;
        utimensat(parent.as_fd(), name, &self.times, AtFlags::SYMLINK_NOFOLLOW).context(|| "cannot set the times")
    }
}

impl<'a> Target<'a> {
    pub(crate) fn new(root: &'a Root, attributes: &'a Attributes) -> Self {
        Self {
            root,
            attributes,
            pending: BTreeMap::new(),
            parent: None,
            links: HashMap::new(),
            replaces: false,
            skipped: Skipped::default(),
        }
    }

    /// One whose files become those of an archive.
    pub(crate) fn replacing(root: &'a Root, attributes: &'a Attributes) -> Self {
        Self { replaces: true, ..Self::new(root, attributes) }
    }

    /// Where an archive's `path` below the real directory `base` is to be.
    pub(crate) fn place(&self, base: &[u8], path: &[u8]) -> Result<Vec<u8>> {
        let whole = join(base, path);
        if self.replaces {
            return Ok(whole);
        }
        let (parent, name) = split(&whole);
        Ok(join(&self.locate(parent)?, name))
    }

    /// Copies `sources` of `from` to `destination`; a slash at its end says that it is a directory.
    /// `several`: there is more than one source, of which these may be only a part.
    pub(crate) fn copy(&mut self, from: &Root, sources: &[Source], destination: &[u8], several: bool) -> Result<()> {
        let place = self.locate(destination)?;
        let is_directory = self.is_directory(destination, &place)?;
        let files = sources.iter().filter(|source| !source.is_directory).count();
        if (several || sources.len() > 1) && files > 0 && !is_directory {
            return Err(Error::new(
                "when more than one source file is given, the destination must be a directory and end with a /",
            ));
        }
        for source in sources {
            if source.is_directory {
                self.directory(from, source, &place)?;
            } else if is_directory {
                self.make_directories(&place)?;
                self.entries(from, &source.entries, &join(&place, &source.name))?;
            } else {
                self.make_directories(split(&place).0)?;
                self.entries(from, &source.entries, &place)?;
            }
        }
        Ok(())
    }

    /// Whether what is copied to `destination` goes into it.
    pub(crate) fn is_directory(&self, destination: &[u8], place: &[u8]) -> Result<bool> {
        let said = destination.ends_with(b"/") || destination.ends_with(b"/.");
        Ok(said || self.stat(place)?.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
    }

    /// The content of a directory goes into `place`.
    fn directory(&mut self, from: &Root, source: &Source, place: &[u8]) -> Result<()> {
        let new = self.make_directories(place)?;
        let own = source.entries.first().filter(|entry| entry.to.is_empty());
        // The content is copied, not the directory: its own owner and mode do not count (Docker's documentation; --chmod
        // and --chown count for a new one, moby/buildkit#4945).
        let chmod = self.attributes.mode.as_ref().filter(|_| new);
        if let (Some(chmod), Some(Finish::All(made))) = (chmod, self.pending.get_mut(place)) {
            made.mode = chmod.apply(made.mode, true);
        }
        let rest = &source.entries[usize::from(own.is_some())..];
        self.entries(from, rest, place)
    }

    fn entries(&mut self, from: &Root, entries: &[Entry], base: &[u8]) -> Result<()> {
        for entry in entries {
            let path = join(base, &entry.to);
            self.entry(from, entry, &path).context(|| format!("cannot write /{}", path.escape_ascii()))?;
        }
        Ok(())
    }

    fn entry(&mut self, from: &Root, entry: &Entry, path: &[u8]) -> Result<()> {
        let what = What::of(&entry.stat);
        match what.kind {
            FileType::Socket => return Ok(()),
            FileType::Directory => return self.put_directory(path, &what),
            _ => {}
        }
        if entry.stat.st_nlink > 1 {
            let inode = (entry.stat.st_dev, entry.stat.st_ino);
            if let Some(first) = self.links.get(&inode).cloned() {
                return self.put_hard_link(path, &first);
            }
            self.links.insert(inode, path.to_vec());
        }
        match what.kind {
            FileType::RegularFile => {
                let source = from
                    .reopen(&entry.from, OFlags::RDONLY | OFlags::NONBLOCK)
                    .context(|| format!("cannot open {}", entry.from.escape_ascii()))?;
                let now = fstat(&source).context(|| "cannot examine the source")?;
                if FileType::from_raw_mode(now.st_mode) != FileType::RegularFile {
                    return Err(Error::new("the source changed while it was being copied"));
                }
                let file = self.new_file(path)?;
                let source = File::from(source);
                let file = content(&source, file)?;
                self.finish_file(&file, &what, &kept_attributes(&source))
            }
            FileType::Symlink => {
                let target = from.link(&entry.from).context(|| "cannot read the link")?;
                self.put_link(path, &target, &what)
            }
            _ => self.put_special(path, &what),
        }
    }

    /// A directory; one that is there gets the attributes.
    pub(crate) fn put_directory(&mut self, path: &[u8], what: &What) -> Result<()> {
        let (parent, name) = split(path);
        self.enter(parent)?;
        let parent = self.parent()?;
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                // Without the rights of root, what goes into it needs this.
                if self.replaces && stat.st_mode & 0o700 != 0o700 {
                    chmodat(parent, name, Mode::RWXU, AtFlags::empty()).context(|| "cannot enter what is there")?;
                }
            }
            Ok(_) if !self.replaces => {
                return Err(Error::new("there is a file where a directory is to be copied to"));
            }
            found => {
                if found.is_ok() {
                    remove_at(parent.as_fd(), name).context(|| "cannot replace what is there")?;
                }
                mkdirat(parent, name, Mode::RWXU).context(|| "cannot make the directory")?;
            }
        }
        let finish = Finish::All(self.attributes_of(what, true));
        self.pending.insert(path.to_vec(), finish);
        Ok(())
    }

    /// A file whose content comes from a stream.
    pub(crate) fn put_file(&mut self, path: &[u8], content: &mut dyn Read, what: &What, more: &[Xattr]) -> Result<()> {
        let mut file = File::from(self.new_file(path)?);
        std::io::copy(content, &mut file).context(|| "cannot write the file")?;
        self.finish_file(&file.into(), what, more)
    }

    fn finish_file(&mut self, file: &OwnedFd, what: &What, more: &[Xattr]) -> Result<()> {
        self.attributes_of(what, false).set(file)?;
        for (name, value) in more {
            // Behind the owner, which takes capabilities away.
            match fsetxattr(file, &name[..], value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP | Errno::INVAL | Errno::NOSPC | Errno::RANGE) => {
                    self.skipped.attributes += 1;
                }
                Err(e) => return Err(e).context(|| "cannot set the extended attributes"),
            }
        }
        Ok(())
    }

    pub(crate) fn put_link(&mut self, path: &[u8], target: &[u8], what: &What) -> Result<()> {
        let name = self.make_room(path)?;
        let parent = self.parent()?;
        symlinkat(target, parent, &name[..]).context(|| "cannot make the link")?;
        self.attributes_of(what, false).set_special(parent, &name)
    }

    pub(crate) fn put_hard_link(&mut self, path: &[u8], first: &[u8]) -> Result<()> {
        let name = self.make_room(path)?;
        let (directory, first) = split(first);
        let directory = self.root.reopen(directory, OFlags::PATH | OFlags::DIRECTORY);
        let directory = directory.context(|| "cannot find what the hard link is for")?;
        linkat(&directory, first, self.parent()?, &name[..], AtFlags::empty()).context(|| "cannot make the hard link")
    }

    /// A named pipe or a device; one that this user may not make is left out.
    pub(crate) fn put_special(&mut self, path: &[u8], what: &What) -> Result<()> {
        let name = self.make_room(path)?;
        let attributes = self.attributes_of(what, false);
        let parent = self.parent()?;
        match mknodat(parent, &name[..], what.kind, Mode::from_raw_mode(attributes.mode), what.device) {
            Err(Errno::PERM | Errno::ACCESS) if what.kind != FileType::Fifo => {
                self.skipped.devices += 1;
                return Ok(());
            }
            made => made.context(|| "cannot make the special file")?,
        }
        attributes.set_special(parent, &name)
    }

    fn new_file(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let name = self.make_room(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(self.parent()?, &name[..], flags, Mode::RUSR | Mode::WUSR).context(|| "cannot make the file")
    }

    /// Enters the directory of `path` and removes what has its name; answers the name.
    fn make_room(&mut self, path: &[u8]) -> Result<Vec<u8>> {
        let (parent, name) = split(path);
        self.enter(parent)?;
        let parent = self.parent()?;
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if !self.replaces && FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                return Err(Error::new("there is a directory where a file is to be copied to"));
            }
            Ok(_) if self.replaces => remove_at(parent.as_fd(), name).context(|| "cannot replace what is there")?,
            Ok(_) => unlinkat(parent, name, AtFlags::empty()).context(|| "cannot replace what is there")?,
            Err(Errno::NOENT) => {}
            Err(e) => return Err(Error::wrap("cannot look at what is there", std::io::Error::from(e))),
        }
        Ok(name.to_vec())
    }

    fn parent(&self) -> Result<&OwnedFd> {
        self.parent.as_ref().map(|(_, fd)| fd).ok_or_else(|| Error::new("no directory was entered"))
    }

    /// Makes a directory and those above it; whether it was new.
    pub(crate) fn make_directories(&mut self, path: &[u8]) -> Result<bool> {
        let failed = || format!("cannot make the directory /{}", path.escape_ascii());
        if self.parent.as_ref().is_some_and(|(known, _)| known == path) {
            return Ok(false);
        }
        let mut walked = Vec::new();
        let mut new = false;
        for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            let parent = self.root.reopen(&walked, DIRECTORY).context(failed)?;
            let before = walked.clone();
            walked = join(&walked, part);
            new = match mkdirat(&parent, part, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    self.keep_times(&before, new, &parent)?;
                    let (owner, time) = (self.attributes.owner.unwrap_or_default(), self.attributes.time);
                    let times = time.map_or_else(now, |time| at(time, 0));
                    self.pending.insert(walked.clone(), Finish::All(Final { owner, mode: 0o755, times }));
                    true
                }
                Err(Errno::EXIST) => false,
                Err(e) => return Err(Error::wrap(failed(), std::io::Error::from(e))),
            };
        }
        let fd = self.root.reopen(path, DIRECTORY).context(failed)?;
        if !new {
            self.keep_times(path, false, &fd)?;
        }
        self.parent = Some((path.to_vec(), fd));
        Ok(new)
    }

    /// Remembers the times of a directory that was there.
    fn keep_times(&mut self, path: &[u8], new: bool, fd: &OwnedFd) -> Result<()> {
        if new || self.pending.contains_key(path) {
            return Ok(());
        }
        let stat = fstat(fd).context(|| "cannot examine a directory")?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() },
        };
        self.pending.insert(path.to_vec(), Finish::Times(times));
        Ok(())
    }

    /// Uses a directory, which must be there.
    fn enter(&mut self, path: &[u8]) -> Result<()> {
        if self.parent.as_ref().is_some_and(|(known, _)| known == path) {
            return Ok(());
        }
        let failed = || format!("cannot open the directory /{}", path.escape_ascii());
        let fd = match self.root.reopen(path, DIRECTORY) {
            Ok(fd) => fd,
            // One of the image's own without permissions: root of the map may enter it, an unmapped owner's not.
            Err(Errno::NOENT) => {
                self.make_directories(path)?;
                return Ok(());
            }
            Err(e) => return Err(Error::wrap(failed(), std::io::Error::from(e))),
        };
        self.keep_times(path, false, &fd)?;
        self.parent = Some((path.to_vec(), fd));
        Ok(())
    }

    fn attributes_of(&self, what: &What, is_directory: bool) -> Final {
        let wanted = self.attributes;
        let (seconds, nanoseconds) = wanted.time.map_or(what.time, |time| (time, 0));
        Final {
            owner: wanted.owner.unwrap_or(what.owner),
            mode: wanted.mode.as_ref().map_or(what.mode, |chmod| chmod.apply(what.mode, is_directory)),
            times: at(seconds, nanoseconds),
        }
    }

    /// Owner, mode and time of directories, the deepest first. Answers what could not be made.
    pub(crate) fn done(mut self) -> Result<Skipped> {
        self.parent = None;
        for (path, finish) in std::mem::take(&mut self.pending).into_iter().rev() {
            let failed = || format!("cannot set owner, mode and time of /{}", path.escape_ascii());
            let fd = self.root.reopen(&path, DIRECTORY).context(failed)?;
            match finish {
                Finish::Times(times) => futimens(&fd, &times).context(failed)?,
                Finish::All(all) => all.set(&fd).context(failed)?,
            }
        }
        Ok(self.skipped)
    }

    /// Where `path` really is, every link followed inside the root; what does not exist stands as it is.
    pub(crate) fn locate(&self, path: &[u8]) -> Result<Vec<u8>> {
        let failed = || format!("cannot look up {}", path.escape_ascii());
        let parts = |path: &[u8]| -> Vec<Vec<u8>> {
            let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
            parts.rev().map(<[u8]>::to_vec).collect()
        };
        let mut todo = parts(path);
        let mut real: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                real.truncate(split(&real).0.len());
                continue;
            }
            let parent = match self.root.reopen(&real, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(parent) => parent,
                Err(Errno::NOENT) => {
                    real = join(&real, &part);
                    continue;
                }
                Err(e) => return Err(Error::wrap(failed(), std::io::Error::from(e))),
            };
            match readlinkat(&parent, &part[..], Vec::new()) {
                Ok(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Error::wrap(failed(), std::io::Error::from(Errno::LOOP)));
                    }
                    let target = target.into_bytes();
                    if target.starts_with(b"/") {
                        real.clear();
                    }
                    todo.append(&mut parts(&target));
                }
                // Not a link, or nothing yet.
                Err(Errno::INVAL | Errno::NOENT) => real = join(&real, &part),
                Err(e) => return Err(Error::wrap(failed(), std::io::Error::from(e))),
            }
        }
        Ok(real)
    }

    pub(crate) fn stat(&self, path: &[u8]) -> Result<Option<Stat>> {
        match self.root.reopen(path, OFlags::PATH) {
            Ok(fd) => fstat(&fd).map(Some).context(|| "cannot examine a file"),
            Err(Errno::NOENT | Errno::LOOP) => Ok(None),
            Err(e) => Err(Error::wrap(format!("cannot examine /{}", path.escape_ascii()), std::io::Error::from(e))),
        }
    }
}

fn at(seconds: i64, nanoseconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps { last_access: time, last_modification: time }
}

fn now() -> Timestamps {
    let now = jiff::Timestamp::now();
    at(now.as_second(), i64::from(now.subsec_nanosecond()).max(0))
}

/// Gives a file to ids of the user's map, or says that they are not in it.
pub(crate) fn change_owner(
    (uid, gid): (u32, u32),
    change: impl Fn(Option<Uid>, Option<Gid>) -> std::result::Result<(), Errno>,
) -> Result<()> {
    match owner::ids(uid, gid).and_then(|(uid, gid)| change(Some(uid), Some(gid))) {
        Err(Errno::INVAL) => Err(Error::new(format!("the owner {uid}:{gid} is not in this user's id map"))
            .hint("more ids come from /etc/subuid and /etc/subgid; without any, files can belong to 0:0 only")),
        changed => changed.context(|| format!("cannot give it the owner {uid}:{gid}")),
    }
}

/// All bytes, shared where the file system can.
fn content(mut source: &File, target: OwnedFd) -> Result<OwnedFd> {
    let mut target = File::from(target);
    if ioctl_ficlone(&target, source).is_err() {
        let mut buffer = vec![0; BUFFER];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => target.write_all(&buffer[..read]).context(|| "cannot write")?,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::wrap("cannot read the source", e)),
            }
        }
    }
    Ok(target.into())
}

/// Whether an extended attribute is of the file, and means nothing to a union file system.
pub(super) fn may_be_kept(name: &[u8]) -> bool {
    let kept = name == b"security.capability" || name.starts_with(b"user.");
    let internal = [&b"user.overlay."[..], b"user.rpod.", b"user.fuseoverlayfs.", b"user.containers."];
    kept && !internal.iter().any(|prefix| name.starts_with(prefix))
}

/// Extended attributes that go with a copy. What cannot be kept or read here is left out, as when a layer is unpacked.
pub(crate) fn kept_attributes(source: impl AsFd) -> Vec<Xattr> {
    // Nearly always there are none.
    let mut names = vec![0u8; 256];
    let length = match flistxattr(source.as_fd(), &mut names) {
        Err(Errno::RANGE) => {
            names = vec![0u8; 64 << 10];
            flistxattr(source.as_fd(), &mut names)
        }
        listed => listed,
    };
    let Ok(length) = length else { return Vec::new() };
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if !may_be_kept(name) {
            continue;
        }
        let mut value = vec![0u8; 64 << 10];
        if let Ok(length) = fgetxattr(source.as_fd(), name, &mut value[..]) {
            value.truncate(length);
            found.push((name.to_vec(), value));
        }
    }
    found
}
