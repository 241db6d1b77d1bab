//! Changes as a tar: what has gone becomes a whiteout (OCI image spec, "Whiteouts").

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, fstat, major, minor, openat, readlinkat};
use rustix::io::Errno;

use super::header::{END, Flag, Header};
use super::holes::Map;
use super::ids::Ids;
use super::merged::Merged;
use super::remembered::{Device, Remembered};
use super::report::{At, Emit, State};
use crate::error::{Context, Error, Result};
use crate::storage::whiteout;

type Xattr = (Vec<u8>, Vec<u8>);

/// Where the pieces of the tar go, in order.
pub(super) trait Sink {
    fn raw(&mut self, bytes: &[u8]) -> Result<()>;

    /// `size` bytes of `file`, which is at `path`, and the zeros up to a whole block.
    fn content(&mut self, path: &[u8], file: File, size: u64) -> Result<()>;

    /// The map of a file, where the tar is to have its holes.
    fn map(&self, _file: &File, _stat: &Stat) -> Result<Option<Map>, Errno> {
        Ok(None)
    }

    /// The stretches of `file` that its map names, and the zeros up to a whole block.
    fn stretches(&mut self, _path: &[u8], _file: File, _map: &Map) -> Result<()> {
        Ok(())
    }

    /// An entry was written; `time` is the one that it got instead of its own.
    fn told(&mut self, _path: &[u8], _at: At<'_>, _time: Option<i64>) -> Result<()> {
        Ok(())
    }

    fn left_out(&mut self, _parent: BorrowedFd<'_>, _name: &[u8], _directory: bool) -> Result<()> {
        Ok(())
    }
}

/// A tar being written.
pub(super) struct Archive<S> {
    sink: S,
    /// The first path of each inode that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    timestamp: Option<i64>,
    ids: Ids,
    remembered: Remembered,
    /// Entries that got the owner that their files could not have.
    pub(super) restored: Cell<u64>,
    /// How many entries there are, and the bytes of their content.
    pub(super) entries: u64,
    pub(super) unpacked: u64,
}

impl<S: Sink> Archive<S> {
    pub(super) fn new(sink: S, timestamp: Option<i64>, ids: &Ids, remembered: Remembered) -> Self {
        let (ids, restored) = (ids.clone(), Cell::new(0));
        Self { sink, links: HashMap::new(), timestamp, ids, remembered, restored, entries: 0, unpacked: 0 }
    }

    /// Writes the device nodes that were left out of `all`, which otherwise has been written.
    pub(super) fn devices(&mut self, all: &Merged) -> Result<()> {
        let devices: Vec<(Vec<u8>, Device)> =
            self.remembered.devices().map(|(path, device)| (path.to_vec(), device.clone())).collect();
        for (path, Device { flag, mode, uid, gid, mtime, device }) in devices {
            if all.lacks(&path).context(|| format!("cannot examine /{}", path.escape_ascii()))? {
                let mtime = self.timestamp.map_or(mtime, |seconds| (seconds, 0));
                self.put(&Header { mode, uid, gid, mtime, device, ..plain(&path, flag) })?;
            }
        }
        Ok(())
    }

    /// Writes the end.
    pub(super) fn finish(mut self) -> Result<S> {
        self.sink.raw(&END)?;
        Ok(self.sink)
    }

    fn put(&mut self, header: &Header<'_>) -> Result<()> {
        self.entries += 1;
        self.sink.raw(&header.encode())
    }

    fn marker(&mut self, path: &[u8]) -> Result<()> {
        let mtime = (self.timestamp.unwrap_or(0), 0);
        self.put(&Header { mtime, ..plain(path, Flag::File) })
    }

    fn other(&mut self, path: &[u8], parent: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Result<()> {
        let failed = || format!("cannot read /{}", path.escape_ascii());
        if stat.st_nlink > 1 {
            match self.links.entry((stat.st_dev, stat.st_ino)) {
                Entry::Occupied(first) => {
                    let first = first.get().clone();
                    return self.put(&Header { link: &first, ..self.header(path, Flag::HardLink, stat) });
                }
                Entry::Vacant(vacant) => drop(vacant.insert(path.to_vec())),
            }
        }
        let flag = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return self.file(path, parent, name),
            FileType::Symlink => {
                let target = match readlinkat(parent, name, Vec::new()) {
                    // A container that runs has replaced it meanwhile.
                    Err(Errno::NOENT | Errno::INVAL) => return Ok(()),
                    target => target.context(failed)?.into_bytes(),
                };
                return self.put(&Header { link: &target, ..self.header(path, Flag::Symlink, stat) });
            }
            FileType::CharacterDevice => Flag::CharacterDevice,
            FileType::BlockDevice => Flag::BlockDevice,
            FileType::Fifo => Flag::Fifo,
            other => return Err(Error::new(format!("{}: its type {other:?} cannot be archived", failed()))),
        };
        let device = (major(stat.st_rdev), minor(stat.st_rdev));
        self.put(&Header { device, ..self.header(path, flag, stat) })
    }

    fn file(&mut self, path: &[u8], parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        let failed = || format!("cannot read /{}", path.escape_ascii());
        // Should a running container put a named pipe there, opening it must not wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOATIME;
        let file = match openat(parent, name, flags, Mode::empty()) {
            Err(Errno::PERM) => openat(parent, name, flags.difference(OFlags::NOATIME), Mode::empty()),
            file => file,
        };
        let file = match file {
            Err(Errno::NOENT | Errno::LOOP) => return Ok(()),
            file => file.context(failed)?,
        };
        self.opened(path, file.into())
    }

    /// A file that is open for reading; anything else is left out.
    pub(super) fn opened(&mut self, path: &[u8], file: File) -> Result<()> {
        let failed = || format!("cannot read /{}", path.escape_ascii());
        let stat = self.ids.translate(fstat(&file).context(failed)?);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let xattrs = xattrs(file.as_fd()).context(failed)?;
        let map = self.sink.map(&file, &stat).context(failed)?;
        let payload = map.as_ref().map_or(size, Map::payload);
        let sparse = map.as_ref().map(|_| size);
        self.put(&Header { size: payload, sparse, xattrs: &xattrs, ..self.header(path, Flag::File, &stat) })?;
        match &map {
            Some(map) => self.sink.stretches(path, file, map)?,
            None if size > 0 => self.sink.content(path, file, size)?,
            None => {}
        }
        self.unpacked += size;
        Ok(())
    }

    /// Of a named pipe there is no more than its place.
    pub(super) fn named_pipe(&mut self, path: &[u8], stat: &Stat) -> Result<()> {
        let stat = self.ids.translate(*stat);
        self.put(&self.header(path, Flag::Fifo, &stat))
    }

    fn header<'a>(&self, path: &'a [u8], flag: Flag, stat: &Stat) -> Header<'a> {
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        let mut stat = *stat;
        if self.ids.same() && self.remembered.owner(path, &mut stat) {
            self.restored.set(self.restored.get() + 1);
        }
        Header {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: self.timestamp.map_or((stat.st_mtime, nanoseconds), |seconds| (seconds, 0)),
            ..plain(path, flag)
        }
    }
}

impl<S: Sink> Emit for Archive<S> {
    fn entry(&mut self, path: &[u8], at: At<'_>, stat: &Stat, _: State, opaque: bool) -> Result<()> {
        match at {
            At::Directory(directory) => {
                let name = if path.is_empty() { b"./".to_vec() } else { [path, b"/"].concat() };
                let xattrs = xattrs(directory).context(|| format!("cannot read /{}", path.escape_ascii()))?;
                self.put(&Header { xattrs: &xattrs, ..self.header(&name, Flag::Directory, stat) })?;
                if opaque {
                    self.marker(&[&name[..], whiteout::OPAQUE].concat())?;
                }
            }
            At::Other { parent, name } => self.other(path, parent, name, stat)?,
        }
        self.sink.told(path, at, self.timestamp)
    }

    fn removed(&mut self, path: &[u8]) -> Result<()> {
        let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        self.marker(&[&path[..name], whiteout::PREFIX, &path[name..]].concat())
    }

    fn left_out(&mut self, parent: BorrowedFd<'_>, name: &[u8], directory: bool) -> Result<()> {
        self.sink.left_out(parent, name, directory)
    }
}

fn plain(path: &[u8], flag: Flag) -> Header<'_> {
    Header {
        path,
        flag,
        mode: 0,
        uid: 0,
        gid: 0,
        size: 0,
        sparse: None,
        mtime: (0, 0),
        link: b"",
        device: (0, 0),
        xattrs: &[],
    }
}

/// What belongs to the file rather than to this host or to a union file system, sorted. Capabilities come as the
/// namespace's root sees them, without the id of that root (capabilities(7), "Namespaced file capabilities").
fn xattrs(fd: BorrowedFd<'_>) -> Result<Vec<Xattr>, Errno> {
    let mut kept = Vec::new();
    for name in attribute_names(fd)? {
        let wanted = match &name[..] {
            b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
            name => name.starts_with(b"user.") && !of_this_host(name),
        };
        if !wanted {
            continue;
        }
        let mut value = vec![0; 64 * 1024];
        match fgetxattr(fd, &name[..], &mut value) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue,
            Err(e) => return Err(e),
        }
        kept.push((name, value));
    }
    kept.sort_unstable();
    Ok(kept)
}

/// Marks of overlayfs, fuse-overlayfs and of tools like this one.
pub(in crate::storage) fn of_this_host(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 4] = [b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers.", b"user.rpod."];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Names of a file's extended attributes.
pub(in crate::storage) fn attribute_names(fd: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let split =
        |list: &[u8]| list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
    // Nearly no file has any.
    let mut few = [0u8; 512];
    match flistxattr(fd, &mut few[..]) {
        Ok(length) => return Ok(split(&few[..length])),
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {}
        Err(e) => return Err(e),
    }
    // The kernel's limit (XATTR_LIST_MAX).
    let mut list = vec![0u8; 64 * 1024];
    let length = flistxattr(fd, &mut list[..])?;
    Ok(split(&list[..length]))
}
