//! Reads single files of an image or container without mounting it: what is looked up is what a container would see,
//! with whiteouts, opaque directories and links that cannot leave the root. On the path of every start, so it asks the
//! kernel only what it must: each directory of the path is opened once per layer that has it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use super::whiteout;
use crate::error::{Context, Error, Result};

/// As the kernel's limit of links in one path.
const MAX_LINKS: usize = 40;

/// Layers seen as one root.
#[derive(Debug)]
pub(crate) struct LayerView {
    roots: Merged,
}

/// One directory of the view: what the layers have of it, top first.
type Merged = Vec<OwnedFd>;

enum Found {
    Missing,
    Directory(Merged),
    Link(Vec<u8>),
    /// The directory of the layer that shows it.
    Other {
        layer: usize,
        kind: FileType,
    },
}

impl LayerView {
    /// A view of directories, top first: a container's upper directory and its layers, or one plain root.
    pub(crate) fn new(directories: &[PathBuf]) -> Result<Self> {
        let mut roots = Vec::with_capacity(directories.len());
        for path in directories {
            let root = open_directory(CWD, path.as_os_str().as_encoded_bytes())
                .context(|| format!("cannot open {}", path.display()))?;
            let opaque = whiteout::opaque(&root);
            roots.push(root);
            if opaque {
                break;
            }
        }
        Ok(Self { roots })
    }

    /// The content of a regular file; `None` when there is nothing or something else at `path`.
    pub(crate) fn read_file(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let failed = || format!("cannot read /{path} of the image");
        let Some(file) = self.open(path).context(failed)? else { return Ok(None) };
        let mut content = Vec::new();
        File::from(file).take(limit + 1).read_to_end(&mut content).context(failed)?;
        if content.len() as u64 > limit {
            return Err(Error::new(format!("/{path} of the image is larger than {limit} bytes")));
        }
        Ok(Some(content))
    }

    /// Whether there is anything at `path`, links followed.
    pub(crate) fn exists(&self, path: &str) -> Result<bool> {
        let found = self.walk(path.as_bytes(), |_, _| Ok(())).context(|| format!("cannot look up /{path}"))?;
        Ok(found.is_some())
    }

    /// Where what is at `path` lies in the layers, links followed; `None` when there is nothing.
    pub(crate) fn locate(&self, path: &str) -> Result<Option<Place>> {
        let failed = || format!("cannot look up /{path}");
        let real = |fd: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).context(failed);
        let mut file = None;
        let found = self.walk_to(path.as_bytes(), |directory, name, _| {
            file = Some((
                directory.try_clone().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?,
                name.to_vec(),
            ));
            Ok(())
        });
        match (found.context(failed)?, file) {
            (None, _) => Ok(None),
            (Some(_), Some((directory, name))) => {
                Ok(Some(Place::File(real(&directory)?.join(std::ffi::OsStr::from_bytes(&name)))))
            }
            (Some(merged), None) => {
                merged.iter().map(real).collect::<Result<_>>().map(|dirs| Some(Place::Directory(dirs)))
            }
        }
    }

    fn open(&self, path: &str) -> Result<Option<OwnedFd>, Errno> {
        let mut opened = None;
        self.walk(path.as_bytes(), |directory, name| {
            // Not a named pipe that would block, nor a device.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            opened = Some(openat(directory, name, flags, Mode::empty())?);
            Ok(())
        })?;
        Ok(opened)
    }

    /// Looks `path` up; calls `file` with the directory and name of a regular file.
    fn walk(
        &self,
        path: &[u8],
        mut file: impl FnMut(&OwnedFd, &[u8]) -> Result<(), Errno>,
    ) -> Result<Option<()>, Errno> {
        let regular = |directory: &OwnedFd, name: &[u8], kind| {
            if kind == FileType::RegularFile { file(directory, name) } else { Ok(()) }
        };
        Ok(self.walk_to(path, regular)?.map(drop))
    }

    /// Looks `path` up, answering what there is of a directory; calls `file` for everything else.
    fn walk_to(
        &self,
        path: &[u8],
        mut file: impl FnMut(&OwnedFd, &[u8], FileType) -> Result<(), Errno>,
    ) -> Result<Option<Merged>, Errno> {
        let mut todo: Vec<Vec<u8>> = parts(path);
        // The directories from the root on.
        let mut stack: Vec<Merged> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                stack.pop();
                continue;
            }
            let current = stack.last().unwrap_or(&self.roots);
            match lookup(current, &name)? {
                Found::Missing => return Ok(None),
                Found::Directory(merged) => stack.push(merged),
                Found::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    if target.starts_with(b"/") {
                        stack.clear();
                    }
                    todo.append(&mut parts(&target));
                }
                Found::Other { .. } if !todo.is_empty() => return Ok(None),
                Found::Other { layer, kind } => {
                    file(&current[layer], &name, kind)?;
                    return Ok(Some(Vec::new()));
                }
            }
        }
        match stack.pop() {
            Some(merged) => Ok(Some(merged)),
            None => self
                .roots
                .iter()
                .map(|fd| fd.try_clone())
                .collect::<Result<_, _>>()
                .map(Some)
                .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)),
        }
    }
}

/// Where something lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// What the layers have of a directory, top first.
    Directory(Vec<PathBuf>),
    /// Anything else.
    File(PathBuf),
}

/// The parts of a path, last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').rev().filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec).collect()
}

/// `name` in a directory of the view.
fn lookup(directory: &Merged, name: &[u8]) -> Result<Found, Errno> {
    let mut merged = Vec::new();
    for (layer, dir) in directory.iter().enumerate() {
        let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NAMETOOLONG) => continue,
            Err(e) => return Err(e),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let child = open_directory(dir.as_fd(), name)?;
            // Only an upper directory may have been written by fuse-overlayfs.
            let opaque = whiteout::opaque(&child) || layer == 0 && whiteout::opaque_by_file(&child);
            merged.push(child);
            if opaque {
                break;
            }
            continue;
        }
        // Hides what the layers below have, or is hidden by a directory above.
        if !merged.is_empty() || whiteout::is(dir.as_fd(), name, &stat) {
            break;
        }
        return Ok(match kind {
            FileType::Symlink => Found::Link(readlinkat(dir, name, Vec::new())?.into_bytes()),
            kind => Found::Other { layer, kind },
        });
    }
    Ok(if merged.is_empty() { Found::Missing } else { Found::Directory(merged) })
}

fn open_directory(parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}
