//! Walks below one directory for a stream of hostile paths. Each component is opened relative to its parent without
//! following links, and the descriptors of the last path's directories are kept: entries of one directory cost no
//! lookup of it. A link in the way is resolved by the kernel as if the layer's root were `/` (openat2(2),
//! RESOLVE_IN_ROOT), so that nothing can be reached from here but what is below the root.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, statat};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::sys::lookup::openat2;

/// Each level costs a descriptor. No path of PATH_MAX is deeper.
const MAX_DEPTH: usize = 2048;
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// The directories from the root to the one entered last.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// Where the kernel says the root is, to tell the place of what a link led to.
    root_path: PathBuf,
    stack: Vec<(Box<[u8]>, OwnedFd)>,
}

/// What stands where a directory should be.
#[derive(Debug)]
pub(super) enum Step {
    /// Entered.
    Done,
    /// The component of that index does not exist in the directory entered so far.
    Missing(usize),
    /// It exists and is no directory, nor a link to one.
    InTheWay(usize),
}

impl Tree {
    pub(super) fn new(root: OwnedFd) -> Result<Self> {
        let root_path = place(root.as_fd())?;
        Ok(Self { root, root_path, stack: Vec::new() })
    }

    /// The directory entered last.
    pub(super) fn current(&self) -> BorrowedFd<'_> {
        self.stack.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd())
    }

    /// The path of `name` in the directory entered last, through no link.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = Vec::new();
        for part in self.stack.iter().map(|(part, _)| &**part).chain(Some(name)) {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
        }
        path
    }

    /// Enters the directory at `components`, as far as it is there.
    pub(super) fn enter(&mut self, components: &[&[u8]]) -> Result<Step> {
        if components.len() > MAX_DEPTH {
            return Err(Error::new(format!("the layer nests directories deeper than {MAX_DEPTH}")));
        }
        let known = self.stack.iter().zip(components).take_while(|((name, _), wanted)| **name == ***wanted).count();
        self.stack.truncate(known);
        for at in known..components.len() {
            let name = components[at];
            match openat(self.current(), name, DIRECTORY, Mode::empty()) {
                Ok(fd) => self.stack.push((name.into(), fd)),
                Err(Errno::NOENT) => return Ok(Step::Missing(at)),
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    if !self.is_link(name)? {
                        return Ok(Step::InTheWay(at));
                    }
                    return match self.follow(&components[..=at])? {
                        true => self.enter_rest(components, at),
                        false => Ok(Step::InTheWay(at)),
                    };
                }
                Err(e) => return Err(e).context(|| format!("cannot enter {}", self.shown(name))),
            }
        }
        Ok(Step::Done)
    }

    /// After a link at `at` was followed: the rest of the path from the place it led to.
    fn enter_rest(&mut self, components: &[&[u8]], at: usize) -> Result<Step> {
        let followed: Vec<Box<[u8]>> = self.stack.iter().map(|(name, _)| name.clone()).collect();
        let mut whole: Vec<&[u8]> = followed.iter().map(|name| &**name).collect();
        let base = whole.len();
        whole.extend_from_slice(&components[at + 1..]);
        // The place has no link in it, so each round uses up one component.
        Ok(match self.enter(&whole)? {
            Step::Done => Step::Done,
            Step::Missing(index) => Step::Missing(at + 1 + index - base),
            Step::InTheWay(index) => Step::InTheWay(at + 1 + index - base),
        })
    }

    /// Enters the directory that the link at `components` leads to inside the root; false when there is none.
    fn follow(&mut self, components: &[&[u8]]) -> Result<bool> {
        let path = components.join(&b'/');
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let fd = match openat2(&self.root, &path[..], OFlags::PATH | OFlags::DIRECTORY, resolve) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => return Ok(false),
            Err(e) => return Err(e).context(|| format!("cannot follow the link {}", path.escape_ascii())),
        };
        let place = place(fd.as_fd())?;
        let below = place.strip_prefix(&self.root_path).context(|| "a link led out of the layer")?;
        let names: Vec<&[u8]> = below.components().map(|c| c.as_os_str().as_bytes()).collect();
        self.stack.clear();
        for name in names {
            let fd = openat(self.current(), name, DIRECTORY, Mode::empty())
                .context(|| format!("cannot enter {}", self.shown(name)))?;
            self.stack.push((name.into(), fd));
        }
        Ok(true)
    }

    fn is_link(&self, name: &[u8]) -> Result<bool> {
        let stat = statat(self.current(), name, AtFlags::SYMLINK_NOFOLLOW)
            .context(|| format!("cannot examine {}", self.shown(name)))?;
        Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    }

    /// A path for messages.
    pub(super) fn shown(&self, name: &[u8]) -> String {
        self.path_of(name).escape_ascii().to_string()
    }
}

/// The components of `path` from the root on, with `.` and inner `..` resolved as text (Go's path.Clean).
pub(in crate::storage) fn components(path: &[u8]) -> Result<Vec<&[u8]>> {
    let mut components = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                if components.pop().is_none() {
                    return Err(Error::new(format!(
                        "the tar names a place outside of itself: {}",
                        path.escape_ascii()
                    )));
                }
            }
            name => components.push(name),
        }
    }
    Ok(components)
}

fn place(fd: BorrowedFd<'_>) -> Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    std::fs::read_link(&link).context(|| format!("cannot read {link}: is /proc mounted?"))
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn paths_are_cleaned_as_text() {
        type Case = (&'static [u8], Option<&'static [&'static [u8]]>);
        let cases: [Case; 8] = [
            (b"a/b", Some(&[b"a", b"b"])),
            (b"/a//./b/", Some(&[b"a", b"b"])),
            (b"./", Some(&[])),
            (b"a/../b", Some(&[b"b"])),
            (b"a/b/../../c", Some(&[b"c"])),
            (b"..", None),
            (b"/../etc", None),
            (b"a/../../b", None),
        ];
        for (path, expected) in cases {
            assert_eq!(components(path).ok().as_deref(), expected, "{}", path.escape_ascii());
        }
    }
}
