//! What the sources of COPY and ADD mean: every file below a root, in order, found without leaving the root.
//!
//! The root may be changed by others meanwhile, so what was found is opened again through no link at all.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, readlinkat, statat};
use rustix::io::Errno;

use super::ignore::{Above, Ignore, clean};
use crate::error::{Context, Error, Result};
use crate::glob::{self, Glob};
use crate::sys::lookup::openat2;

/// As the kernel's limit of links; deeper trees are not followed either.
const MAX_DEPTH: usize = 1024;

/// One file, directory or link to be copied.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// From the root on, through no link.
    pub from: Vec<u8>,
    /// Below the destination; empty: the source itself.
    pub to: Vec<u8>,
    pub stat: Stat,
}

impl Entry {
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// One source, wildcards and links resolved.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Its last component as it was named, which is its name in a destination directory.
    pub name: Vec<u8>,
    pub is_directory: bool,
    /// In order, directories before what is in them. A directory's own entry comes first, with an empty `to`.
    pub entries: Vec<Entry>,
}

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub sources: &'a [String],
    /// Of the whole context.
    pub ignore: &'a Ignore,
    /// `--exclude`, relative to each source.
    pub exclude: &'a Ignore,
    /// `--parents`: a source keeps its directories, or those behind `/./`.
    pub parents: bool,
}

/// A directory that nothing leads out of.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    place: Vec<u8>,
    /// How messages call it.
    name: String,
}

impl Root {
    pub(crate) fn new(fd: OwnedFd) -> Result<Self> {
        let place = place(fd.as_fd()).context(|| "cannot tell where a directory is")?;
        Ok(Self { fd, place, name: "the build context".to_owned() })
    }

    /// The same under another name.
    pub(crate) fn called(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// "cannot read PATH in NAME"
    pub(crate) fn unreadable(&self, path: &[u8]) -> String {
        format!("cannot read {} in {}", path.escape_ascii(), self.name)
    }

    pub(crate) fn open(path: &std::path::Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).context(|| format!("cannot open {}", path.display()))?;
        Self::new(fd)
    }

    pub(crate) fn try_clone(&self) -> Result<Self> {
        let fd = self.fd.try_clone().context(|| "cannot keep a directory")?;
        Ok(Self { fd, place: self.place.clone(), name: self.name.clone() })
    }

    /// Whether both are the same place.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.place == other.place
    }

    /// Opens what was found before; a link in the way is an error.
    pub(crate) fn reopen(&self, path: &[u8], flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        openat2(&self.fd, path, flags | OFlags::NOFOLLOW, resolve)
    }

    /// Where `path` leads when every link is followed, the root being `/`; `None`: nowhere.
    pub(crate) fn resolve(&self, path: &[u8]) -> std::result::Result<Option<(Vec<u8>, Stat)>, Errno> {
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let fd = match openat2(&self.fd, path, OFlags::PATH, resolve) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(e) => return Err(e),
        };
        let real = place(fd.as_fd())?;
        let below = real.strip_prefix(&self.place[..]).ok_or(Errno::XDEV)?;
        Ok(Some((below.strip_prefix(b"/").unwrap_or(below).to_vec(), fstat(&fd)?)))
    }

    /// Names in a directory, sorted.
    fn names(&self, path: &[u8]) -> std::result::Result<(OwnedFd, Vec<Vec<u8>>), Errno> {
        let fd = self.reopen(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok((fd, names))
    }

    /// The target of a link that was found.
    pub(crate) fn link(&self, path: &[u8]) -> std::result::Result<Vec<u8>, Errno> {
        let (parent, name) = split(path);
        let parent = self.reopen(parent, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(readlinkat(&parent, name, Vec::new())?.into_bytes())
    }
}

/// The kernel's name of an open file; of a mount that is attached nowhere, from its root on.
fn place(fd: BorrowedFd<'_>) -> std::result::Result<Vec<u8>, Errno> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let mut place = std::fs::read_link(path)
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?
        .as_os_str()
        .as_bytes()
        .to_vec();
    if place == b"/" {
        place.clear();
    }
    Ok(place)
}

/// Directory and name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match (directory, name) {
        (b"", _) => name.to_vec(),
        (_, b"") => directory.to_vec(),
        _ => [directory, b"/", name].concat(),
    }
}

/// Every source. Those with wildcards may mean nothing as long as one of all means something.
pub(crate) fn select(root: &Root, wanted: &Wanted<'_>) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for text in wanted.sources {
        let missing =
            |shown: &str| Error::wrap(format!("{shown:?} is not in {}", root.name), std::io::Error::from(Errno::NOENT));
        let (keep, pattern) = pivot(text, wanted.parents);
        let whole = join(keep.as_bytes(), pattern.as_bytes());
        let whole = String::from_utf8_lossy(&whole).into_owned();
        let paths = match glob::has_wildcards(&whole) {
            true => expand(root, &whole)?,
            false => vec![whole.clone().into_bytes()],
        };
        let mut any = false;
        for path in paths {
            if let Some(source) = one(root, &path, keep.len(), wanted)? {
                any = true;
                found.push(source);
            }
        }
        if !any && !glob::has_wildcards(&whole) {
            return Err(missing(text));
        }
    }
    if found.is_empty() {
        let shown = wanted.sources.join(" ");
        return Err(Error::wrap(
            format!("nothing in {} matches {shown}", root.name),
            std::io::Error::from(Errno::NOENT),
        ));
    }
    Ok(found)
}

/// Splits at `/./`, which tells which directories `--parents` leaves out.
fn pivot(text: &str, parents: bool) -> (String, String) {
    let absolute = |text: &str| clean(&format!("/{text}")).trim_start_matches('/').to_owned();
    match text.split_once("/./").filter(|_| parents) {
        Some((before, after)) => (absolute(before), absolute(after)),
        None => (String::new(), absolute(text)),
    }
}

/// The paths that a pattern matches, component by component.
fn expand(root: &Root, pattern: &str) -> Result<Vec<Vec<u8>>> {
    let mut paths = vec![Vec::new()];
    for component in pattern.split('/').filter(|component| !component.is_empty()) {
        let mut next = Vec::new();
        if component == "**" {
            for path in paths {
                descend(root, path, 0, &mut next)?;
            }
        } else if glob::has_wildcards(component) {
            let glob = Glob::path(component).map_err(Error::new)?;
            for path in paths {
                let Some((real, stat)) = root.resolve(&path).context(|| root.unreadable(&path))? else { continue };
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    continue;
                }
                let (_, names) = root.names(&real).context(|| root.unreadable(&path))?;
                let matching = names.into_iter().filter(|name| glob.matches(&String::from_utf8_lossy(name)));
                next.extend(matching.map(|name| join(&path, &name)));
            }
        } else {
            next.extend(paths.iter().map(|path| join(path, component.as_bytes())));
        }
        paths = next;
    }
    Ok(paths)
}

/// A directory and all directories below it.
fn descend(root: &Root, path: Vec<u8>, depth: usize, found: &mut Vec<Vec<u8>>) -> Result<()> {
    let Ok((fd, names)) = root.names(&path) else { return Ok(()) };
    if depth > MAX_DEPTH {
        return Err(Error::new(format!("{}: directories are nested too deep", root.unreadable(&path))));
    }
    found.push(path.clone());
    for name in names {
        let stat = statat(&fd, &name[..], AtFlags::SYMLINK_NOFOLLOW).context(|| root.unreadable(&path))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            descend(root, join(&path, &name), depth + 1, found)?;
        }
    }
    Ok(())
}

/// `None` when there is nothing, or nothing that is not ignored.
fn one(root: &Root, path: &[u8], keep: usize, wanted: &Wanted<'_>) -> Result<Option<Source>> {
    let Some((real, stat)) = root.resolve(path).context(|| root.unreadable(path))? else { return Ok(None) };
    let mut above = Above::default();
    let mut ignored = false;
    let text = String::from_utf8_lossy(&real).into_owned();
    for (at, _) in text.match_indices('/').chain([(text.len(), "")]) {
        if at > 0 {
            (ignored, above) = wanted.ignore.decide(&text[..at], &above);
        }
    }
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if ignored && !(is_directory && wanted.ignore.has_exceptions()) {
        return Ok(None);
    }
    let name = split(path).1.to_vec();
    if !is_directory
        && !wanted.exclude.is_empty()
        && wanted.exclude.decide(&String::from_utf8_lossy(&name), &Above::default()).0
    {
        return Ok(None);
    }
    let mut entries = Vec::new();
    let mut base = Vec::new();
    if wanted.parents {
        // The directories on the way, from the pivot on, keep what they are.
        let relative = path.get(keep..).unwrap_or_default();
        let relative = relative.strip_prefix(b"/").unwrap_or(relative);
        let (directories, last) = split(relative);
        let mut walked = path[..path.len() - relative.len()].strip_suffix(b"/").unwrap_or_default().to_vec();
        for part in directories.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            walked = join(&walked, part);
            base = join(&base, part);
            if let Some((from, stat)) = root.resolve(&walked).context(|| root.unreadable(&walked))? {
                entries.push(Entry { from, to: base.clone(), stat });
            }
        }
        base = join(&base, last);
    }
    entries.push(Entry { from: real.clone(), to: base.clone(), stat });
    let before = entries.len();
    if is_directory {
        let mut walk = Walk { root, wanted, entries: &mut entries };
        walk.directory(&real, &base, b"", &above, &Above::default(), 0)?;
    }
    // All that is left of it is a directory that was to be ignored.
    if ignored && entries.len() == before {
        return Ok(None);
    }
    Ok(Some(Source { name, is_directory: is_directory || wanted.parents, entries }))
}

struct Walk<'a> {
    root: &'a Root,
    wanted: &'a Wanted<'a>,
    entries: &'a mut Vec<Entry>,
}

impl Walk<'_> {
    fn directory(
        &mut self,
        from: &[u8],
        to: &[u8],
        inside: &[u8],
        above: &Above,
        excluded: &Above,
        depth: usize,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::new(format!("{}: directories are nested too deep", self.root.unreadable(from))));
        }
        let (fd, names) = self.root.names(from).context(|| self.root.unreadable(from))?;
        for name in names {
            let path = join(from, &name);
            let relative = join(inside, &name);
            let stat = match statat(&fd, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Gone meanwhile.
                Err(Errno::NOENT) => continue,
                Err(e) => return Err(Error::wrap(self.root.unreadable(&path), std::io::Error::from(e))),
            };
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let (ignored, below) = self.decide(self.wanted.ignore, &path, above);
            let (left_out, below_excluded) = self.decide(self.wanted.exclude, &relative, excluded);
            let exceptions = self.wanted.ignore.has_exceptions() || self.wanted.exclude.has_exceptions();
            let gone = ignored || left_out;
            if gone && !(is_directory && exceptions) {
                continue;
            }
            self.entries.push(Entry { from: path.clone(), to: join(to, &name), stat });
            let before = self.entries.len();
            if is_directory {
                self.directory(&path, &join(to, &name), &relative, &below, &below_excluded, depth + 1)?;
            }
            if gone && self.entries.len() == before {
                self.entries.pop();
            }
        }
        Ok(())
    }

    fn decide(&self, ignore: &Ignore, path: &[u8], above: &Above) -> (bool, Above) {
        match ignore.is_empty() {
            true => (false, Above::default()),
            false => ignore.decide(&String::from_utf8_lossy(path), above),
        }
    }
}
