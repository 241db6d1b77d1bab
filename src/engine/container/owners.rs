//! `U`: everything in a directory or volume is given to the container's user, at every start, as in Podman.
//!
//! The tree is walked by descriptor, without following a link: a container that runs already may be at work in it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, chownat, openat, statat};
use rustix::io::Errno;

use super::options::mounts::CHOWN;
use super::record::{Config, Mount};
use super::resolve::MountKind;
use crate::error::{Context, Error, Kind, Result};
use crate::sys::lookup::openat2;
use crate::userns::shift::Shift;
use crate::userns::{IdMaps, enter, owner};

/// Directories that hold more than one program's files (Podman's list); the user's home is one more.
const PROTECTED: [&str; 21] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/etc/passwd",
    "/etc/pki",
    "/etc/shadow",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
];

/// Gives away what the container's mounts ask for. For a single-threaded process.
pub(super) fn change(config: &Config) -> Result<()> {
    let wanted = |mount: &&Mount| matches!(mount.kind, MountKind::Bind | MountKind::Volume) && mount.has(CHOWN);
    let mounts: Vec<&Mount> = config.mounts.iter().filter(wanted).collect();
    if mounts.is_empty() {
        return Ok(());
    }
    let process = config.spec.process().as_ref().ok_or_else(|| Error::new("the container's Spec has no process"))?;
    let (uid, gid) = (process.user().uid(), process.user().gid());
    for mount in mounts.iter().filter(|mount| mount.kind == MountKind::Bind) {
        check(&mount.source, uid, gid)?;
    }
    let maps = config.maps.as_ref().ok_or_else(|| {
        Error::new("the mount option U needs a container whose ids are known: it joins somebody's user namespace")
    })?;
    let whole = IdMaps::for_user()?;
    let ids = match Shift::between(&whole, maps) {
        // Everything is the user's.
        _ if whole.is_single() => Some((0, 0)),
        None => Some((uid, gid)),
        Some(shift) => shift.uid(uid).zip(shift.gid(gid)),
    };
    let (uid, gid) = ids.ok_or_else(|| Error::new("the container's user has no id of this user's range"))?;
    let failed =
        |path: &CStr| Error::new(format!("failed to chown recursively host path: lchown {}", path.to_string_lossy()));
    enter::run(&whole, || {
        for mount in &mounts {
            let source = CString::new(mount.source.as_os_str().as_encoded_bytes())
                .context(|| format!("cannot change the owner of {}", mount.source.display()))?;
            let owner = Owner { uid, gid };
            match top(&source, mount.subpath.as_deref()).and_then(|top| owner.of(&top)) {
                Ok(()) => {}
                Err(e) => {
                    let error = Error::wrap(failed(&source).to_string(), std::io::Error::from(e));
                    return Err(error.with_kind(Kind::CannotInvoke));
                }
            }
        }
        Ok(())
    })
}

/// # Errors
/// For what is not one container's alone.
fn check(path: &Path, uid: u32, gid: u32) -> Result<()> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let home = std::env::var_os("HOME").is_some_and(|home| Path::new(&home) == real);
    if !home && !PROTECTED.iter().any(|protected| Path::new(protected) == real) && real != Path::new("/var") {
        return Ok(());
    }
    let shown = path.display();
    Err(Error::new(format!(
        "chowning host path \"{shown}\" is not allowed. You can manually `chown -R {uid}:{gid} {shown}`"
    ))
    .with_kind(Kind::CannotInvoke))
}

/// What is mounted: links in the source are the user's own, those in a volume are not followed out of it.
fn top(source: &CStr, subpath: Option<&str>) -> Result<OwnedFd, Errno> {
    let source = openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let Some(subpath) = subpath else { return Ok(source) };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(&source, subpath, OFlags::PATH, resolve)
}

/// Ids of the user's whole map.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    fn of(self, top: &OwnedFd) -> Result<(), Errno> {
        let stat = statat(top, c"", AtFlags::EMPTY_PATH)?;
        self.give(top, c"", stat.st_uid, stat.st_gid)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            self.below(&openat(top, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)?;
        }
        Ok(())
    }

    fn below(self, directory: &OwnedFd) -> Result<(), Errno> {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                // Gone meanwhile.
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            self.give(directory, name, stat.st_uid, stat.st_gid)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                match openat(directory, name, flags, Mode::empty()) {
                    Ok(below) => self.below(&below)?,
                    // Another thing by now.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }

    /// chown(2) takes setuid bits away, so only where it has to.
    fn give(self, directory: impl AsFd, name: &CStr, uid: u32, gid: u32) -> Result<(), Errno> {
        if (uid, gid) == (self.uid, self.gid) {
            return Ok(());
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW | if name.is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::empty() };
        let (uid, gid) = owner::ids(self.uid, self.gid)?;
        match chownat(directory, name, Some(uid), Some(gid), flags) {
            Err(Errno::NOENT) if !name.is_empty() => Ok(()),
            // Somebody else's file: its owner is not in the user's range.
            Err(Errno::INVAL) => Err(Errno::PERM),
            result => result,
        }
    }
}
