//! A tar → files below a directory, for `cp` and `volume import`. Neither the tar nor what is below the directory is
//! trusted: names are walked one by one, no link is followed, nothing outside is touched. An entry takes the place of
//! what has its name, but a directory and something else replace each other only when that is asked for.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr,
    futimens, linkat, mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::remove;
use super::unpack::entry::{self, Attributes, Entry, Kind, Time};
use super::unpack::record::padding;
use super::unpack::tape::{Plain, Tape, write_payload};
use super::unpack::tree::components;
use crate::error::{Context, Error, Result};
use crate::userns::owner;

/// Who owns what is extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Whoever extracts; set-user-ID bits would mean somebody else then, so they are taken off.
    Caller,
    These(u32, u32),
    /// As the tar says.
    Tar,
}

/// How to extract.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExtractOptions {
    pub owner: Owner,
    /// A directory gives way to something else, and something else to a directory.
    pub overwrite: bool,
}

/// As the kernel's PATH_MAX allows: one descriptor each.
const MAX_DEPTH: usize = 2048;
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Extracts `input`; answers what could not be made, for warnings.
pub(crate) fn extract(input: impl Read, base: BorrowedFd<'_>, options: ExtractOptions) -> Result<Vec<String>> {
    super::diff::many_descriptors();
    let mut extract = Extract { base, options, stack: Vec::new(), directories: Vec::new(), warnings: Vec::new() };
    let mut tape = Plain::new(input);
    while let Some(entry) = entry::next(&mut tape)? {
        extract.entry(&entry, &mut tape)?;
    }
    extract.finish()?;
    tape.drain()?;
    Ok(extract.warnings)
}

struct Extract<'b> {
    base: BorrowedFd<'b>,
    options: ExtractOptions,
    /// The directories from the base to the one entered last.
    stack: Vec<(Box<[u8]>, OwnedFd)>,
    /// Those that entries named: their attributes come last.
    directories: Vec<(Vec<u8>, Attributes)>,
    warnings: Vec<String>,
}

impl Extract<'_> {
    fn entry(&mut self, entry: &Entry, tape: &mut dyn Tape) -> Result<()> {
        let attributes = &entry.attributes;
        let parts = components(&entry.path)?;
        let failed = || format!("cannot write {}", entry.path.escape_ascii());
        let Some((name, parents)) = parts.split_last() else {
            // The directory itself.
            self.directories.push((Vec::new(), attributes.clone()));
            return Ok(());
        };
        self.enter(parents).context(failed)?;
        match entry.kind {
            Kind::Directory => {
                self.directory(name).context(failed)?;
                self.directories.push((parts.join(&b'/'), attributes.clone()));
            }
            Kind::Symlink => {
                self.clear(name).context(failed)?;
                symlinkat(OsStr::from_bytes(&entry.link), self.current(), *name).context(failed)?;
                self.special(name, attributes).context(failed)?;
            }
            Kind::HardLink => self.hard_link(parents, name, &entry.link).context(failed)?,
            Kind::Fifo => {
                self.clear(name).context(failed)?;
                mknodat(self.current(), *name, FileType::Fifo, Mode::from_raw_mode(attributes.mode), 0)
                    .context(failed)?;
                self.special(name, attributes).context(failed)?;
            }
            Kind::CharacterDevice | Kind::BlockDevice => {
                self.warnings.push(format!("{} is a device and was not copied", entry.path.escape_ascii()));
            }
            Kind::File => {
                self.file(name, entry, tape)?;
                tape.take(padding(entry.payload), &mut |_| Ok(()))?;
            }
        }
        Ok(())
    }

    fn current(&self) -> BorrowedFd<'_> {
        self.stack.last().map_or(self.base, |(_, fd)| fd.as_fd())
    }

    /// Enters the directory, making what is missing.
    fn enter(&mut self, parents: &[&[u8]]) -> Result<()> {
        if parents.len() > MAX_DEPTH {
            return Err(Error::new(format!("directories are nested deeper than {MAX_DEPTH}")));
        }
        let known = self.stack.iter().zip(parents).take_while(|((name, _), wanted)| **name == ***wanted).count();
        self.stack.truncate(known);
        for name in &parents[known..] {
            let fd = match openat(self.current(), *name, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {
                    self.directory(name)?;
                    openat(self.current(), *name, DIRECTORY, Mode::empty())
                }
                fd => fd,
            };
            let fd = fd.context(|| format!("cannot enter {}", name.escape_ascii()))?;
            self.stack.push(((*name).into(), fd));
        }
        Ok(())
    }

    fn directory(&mut self, name: &[u8]) -> Result<()> {
        let failed = || format!("cannot create the directory {}", name.escape_ascii());
        loop {
            match mkdirat(self.current(), name, Mode::from_raw_mode(0o755)) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e).context(failed),
            }
            let stat = statat(self.current(), name, AtFlags::SYMLINK_NOFOLLOW).context(failed)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                return Ok(());
            }
            if !self.options.overwrite {
                return Err(Error::new(format!(
                    "cannot overwrite non-directory {} with directory",
                    name.escape_ascii()
                ))
                .hint("--overwrite allows it"));
            }
            unlinkat(self.current(), name, AtFlags::empty()).context(failed)?;
        }
    }

    /// Makes room for something that is no directory.
    fn clear(&mut self, name: &[u8]) -> Result<()> {
        let failed = || format!("cannot replace {}", name.escape_ascii());
        match unlinkat(self.current(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) if self.is_directory(name) => {
                if !self.options.overwrite {
                    return Err(Error::new(format!(
                        "cannot overwrite directory {} with non-directory",
                        name.escape_ascii()
                    ))
                    .hint("--overwrite allows it"));
                }
                remove::tree(self.current(), name, b"", &mut |parent, name, _| unlinkat(parent, name, AtFlags::empty()))
                    .context(failed)
            }
            Err(e) => Err(e).context(failed),
        }
    }

    fn is_directory(&self, name: &[u8]) -> bool {
        statat(self.current(), name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    }

    fn file(&mut self, name: &[u8], entry: &Entry, tape: &mut dyn Tape) -> Result<()> {
        let failed = || format!("cannot write {}", entry.path.escape_ascii());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut busy = false;
        let file = match openat(self.current(), name, flags | OFlags::EXCL, mode) {
            Err(Errno::EXIST) => {
                match self.clear(name) {
                    // Something is mounted there, which keeps its place and gets the content.
                    Err(e) if is(&e, Errno::BUSY) => busy = true,
                    cleared => cleared.context(failed)?,
                }
                let flags = flags | if busy { OFlags::TRUNC } else { OFlags::EXCL };
                openat(self.current(), name, flags, mode)
            }
            file => file,
        };
        let file = file.context(failed)?;
        let written = write_payload(tape, entry, file.as_fd());
        if written.is_err() && !busy {
            // Half a file must not pass for a whole one.
            let _ = unlinkat(self.current(), name, AtFlags::empty());
        }
        written?;
        let set = self.set(file.as_fd(), &entry.attributes);
        set.context(|| format!("cannot set the attributes of {}", entry.path.escape_ascii()))
    }

    fn hard_link(&mut self, parents: &[&[u8]], name: &[u8], target: &[u8]) -> Result<()> {
        let target_parts = components(target)?;
        let (target_name, target_parents) =
            target_parts.split_last().ok_or_else(|| Error::new("a hard link to nothing"))?;
        let failed = || format!("cannot link to {}", target.escape_ascii());
        self.enter(target_parents)?;
        let directory = self.current().try_clone_to_owned().context(failed)?;
        self.enter(parents)?;
        if target_parts.as_slice() == [parents, &[name]].concat().as_slice() {
            return Err(Error::new("a hard link to itself"));
        }
        self.clear(name)?;
        linkat(&directory, *target_name, self.current(), name, AtFlags::empty()).context(failed)
    }

    /// Owner, mode, extended attributes, time; in this order, for each takes away from the next.
    fn set(&self, fd: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Errno> {
        if let Some((uid, gid)) = self.owner(attributes)? {
            fchown(fd, Some(uid), Some(gid))?;
        }
        fchmod(fd, Mode::from_raw_mode(self.mode(attributes)))?;
        for (name, value) in &attributes.xattrs {
            let own = name.starts_with(b"user.") && !super::diff::of_this_host(name);
            if own || name == b"security.capability" && self.options.owner != Owner::Caller {
                match fsetxattr(fd, &name[..], value, XattrFlags::empty()) {
                    // Not in this file system, or not by this user.
                    Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::NOSPC | Errno::INVAL) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        futimens(fd, &times(attributes.mtime))
    }

    /// Of links and named pipes, which cannot be opened.
    fn special(&self, name: &[u8], attributes: &Attributes) -> Result<(), Errno> {
        if let Some((uid, gid)) = self.owner(attributes)? {
            chownat(self.current(), name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        utimensat(self.current(), name, &times(attributes.mtime), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn owner(&self, attributes: &Attributes) -> Result<Option<(Uid, Gid)>, Errno> {
        let (uid, gid) = match self.options.owner {
            Owner::Caller => return Ok(None),
            Owner::These(uid, gid) => (uid, gid),
            Owner::Tar => (id(attributes.uid), id(attributes.gid)),
        };
        Some(owner::ids(uid, gid)).transpose()
    }

    fn mode(&self, attributes: &Attributes) -> u32 {
        attributes.mode & if self.options.owner == Owner::Caller { 0o1777 } else { 0o7777 }
    }

    /// The innermost directories first: setting their attributes must not need those of their parents.
    fn finish(&mut self) -> Result<()> {
        for (path, attributes) in std::mem::take(&mut self.directories).into_iter().rev() {
            let failed = || format!("cannot set the attributes of {}", path.escape_ascii());
            let parts = components(&path)?;
            self.enter(&parts).context(failed)?;
            self.set(self.current(), &attributes).context(failed)?;
        }
        Ok(())
    }
}

/// What is too large to be an id is refused as 4294967295 is.
fn id(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn times(mtime: Time) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn is(error: &Error, errno: Errno) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.downcast_ref::<Errno>() == Some(&errno) {
            return true;
        }
        source = error.source();
    }
    false
}
