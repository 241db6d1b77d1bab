//! What the tars of a container's layers say and its files do not: owners that have no id in the user's map (without a
//! subordinate range all but root's), and device nodes that only root can make. What was written with it comes back with it.
//!
//! Nothing is read for layers of which everything could be kept.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, statat};

use super::archive::attribute_names;
use super::header::Flag;
use super::{names, open_directory, open_path};
use crate::error::{Context, Result};
use crate::storage::layer::Layer;
use crate::storage::unpack::entry::Kind;
use crate::storage::unpack::headers::{self, Headed};
use crate::storage::unpack::tree::components;
use crate::storage::whiteout;
use crate::userns::IdMaps;

/// By path, without a leading slash.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    owners: BTreeMap<Vec<u8>, Owner>,
    devices: BTreeMap<Vec<u8>, Device>,
}

/// Of which at least one id is not mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    uid: u32,
    gid: u32,
    /// What the file got.
    instead: (u32, u32),
}

/// A device node that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub flag: Flag,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, u32),
    pub device: (u32, u32),
}

impl Remembered {
    /// Of the layers with these directories, top first, under `upper`, where a container's changes are. Directories that are no
    /// layer's remember nothing.
    pub(super) fn of(directories: &[PathBuf], upper: Option<&Path>) -> Result<Self> {
        let layers: Vec<Layer> = directories.iter().filter_map(|diff| Layer::of_diff(diff)).collect();
        let forgot = |layer: &Layer| layer.meta().is_ok_and(|meta| meta.skipped.owners > 0 || meta.skipped.devices > 0);
        let mut remembered = Self::default();
        // Layers further up may have replaced something.
        let Some(lowest) = layers.iter().rposition(forgot) else { return Ok(remembered) };
        let maps = IdMaps::of_process(rustix::process::getpid().as_raw_nonzero().get())?;
        for layer in layers[..=lowest].iter().rev() {
            let path = layer.directory().join("entries.zst");
            let failed = || format!("cannot read {}", path.display());
            let mut above = Above::default();
            headers::read(File::open(&path).context(failed)?, &mut |entry| above.entry(&maps, &entry))
                .context(failed)?;
            remembered.cover(above);
        }
        if let Some(upper) = upper.filter(|_| !remembered.is_empty()) {
            remembered.changed(&open_path(upper)?, &mut Vec::new()).context(|| "cannot read the changes")?;
        }
        Ok(remembered)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.devices.is_empty()
    }

    /// The owner that the file at `path` ought to have.
    pub(super) fn owner(&self, path: &[u8], stat: &mut Stat) -> bool {
        let path = if path == b"./" { b"" } else { path.strip_suffix(b"/").unwrap_or(path) };
        match self.owners.get(path).filter(|owner| owner.instead == (stat.st_uid, stat.st_gid)) {
            Some(owner) => {
                (stat.st_uid, stat.st_gid) = (owner.uid, owner.gid);
                true
            }
            None => false,
        }
    }

    /// Devices that were left out, sorted.
    pub(super) fn devices(&self) -> impl Iterator<Item = (&[u8], &Device)> {
        self.devices.iter().map(|(path, device)| (path.as_slice(), device))
    }

    /// Lays one more layer over those so far.
    fn cover(&mut self, above: Above) {
        for path in above.opaque {
            self.forget_below(&path);
        }
        for path in above.gone {
            self.forget(&path);
        }
        for (path, told) in above.told {
            // What is no directory any more has nothing in it.
            if told.is_directory {
                self.owners.remove(&path);
                self.devices.remove(&path);
            } else {
                self.forget(&path);
            }
            self.owners.extend(told.owner.map(|owner| (path.clone(), owner)));
            self.devices.extend(told.device.map(|device| (path, device)));
        }
    }

    fn forget(&mut self, path: &[u8]) {
        self.owners.remove(path);
        self.devices.remove(path);
        self.forget_below(path);
    }

    fn forget_below(&mut self, path: &[u8]) {
        let start = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        fn drain<T>(map: &mut BTreeMap<Vec<u8>, T>, start: &[u8]) {
            let inside: Vec<Vec<u8>> = map
                .range(start.to_vec()..)
                .map(|(path, _)| path)
                .take_while(|path| path.starts_with(start))
                .cloned()
                .collect();
            inside.iter().for_each(|path| drop(map.remove(path)));
        }
        drain(&mut self.owners, &start);
        drain(&mut self.devices, &start);
    }

    /// Forgets what a container has made anew or removed. What it has only changed, the file system marks as copied up.
    fn changed(&mut self, upper: &OwnedFd, path: &mut Vec<u8>) -> rustix::io::Result<()> {
        for name in names(upper)? {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.changed_entry(upper, &name, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn changed_entry(&mut self, upper: &OwnedFd, name: &[u8], path: &mut Vec<u8>) -> rustix::io::Result<()> {
        use rustix::io::Errno;
        let stat = match statat(upper, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat?,
        };
        if whiteout::is(upper.as_fd(), name, &stat) {
            self.forget(path);
            return Ok(());
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let child = match open_directory(upper, name) {
                    Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
                    child => child?,
                };
                if whiteout::opaque(&child) || whiteout::opaque_by_file(&child) {
                    self.forget_below(path);
                }
                if !copied_up(&child)? {
                    self.owners.remove(&path[..]);
                    self.devices.remove(&path[..]);
                }
                self.changed(&child, path)
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                match openat(upper, name, flags, Mode::empty()) {
                    Ok(file) if copied_up(&file)? => {}
                    Err(Errno::NOENT | Errno::LOOP) => {}
                    Ok(_) => self.forget(path),
                    Err(e) => return Err(e),
                }
                Ok(())
            }
            // Which cannot be marked.
            FileType::Symlink => Ok(()),
            _ => {
                self.forget(path);
                Ok(())
            }
        }
    }
}

/// overlayfs and fuse-overlayfs note where a file came from.
fn copied_up(file: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(attribute_names(file.as_fd())?.iter().any(|name| {
        matches!(&name[..], b"user.overlay.origin" | b"trusted.overlay.origin" | b"user.fuseoverlayfs.origin")
    }))
}

/// One layer, before it covers the others.
#[derive(Default)]
struct Above {
    gone: Vec<Vec<u8>>,
    opaque: Vec<Vec<u8>>,
    told: BTreeMap<Vec<u8>, Told>,
}

struct Told {
    is_directory: bool,
    owner: Option<Owner>,
    device: Option<Device>,
}

impl Above {
    fn entry(&mut self, maps: &IdMaps, entry: &Headed) -> Result<()> {
        let parts = components(&entry.path)?;
        let path = parts.join(&b'/');
        let Some((name, parents)) = parts.split_last() else {
            self.told.insert(path, Told { is_directory: true, owner: owner(maps, entry), device: None });
            return Ok(());
        };
        if *name == whiteout::OPAQUE {
            self.opaque.push(parents.join(&b'/'));
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(whiteout::PREFIX) {
            let hidden = [parents, &[hidden]].concat().join(&b'/');
            self.gone.push(hidden);
            return Ok(());
        }
        let told = match entry.kind {
            Kind::HardLink => {
                let target = components(&entry.link)?.join(&b'/');
                let owner = owner(maps, entry);
                // The header counts for the file, whatever its first name is.
                if let Some(told) = self.told.get_mut(&target) {
                    told.owner = owner;
                }
                Told { is_directory: false, owner, device: None }
            }
            kind => Told { is_directory: kind == Kind::Directory, owner: owner(maps, entry), device: device(entry) },
        };
        self.told.insert(path, told);
        Ok(())
    }
}

fn owner(maps: &IdMaps, entry: &Headed) -> Option<Owner> {
    let (uid, gid) = ids(entry);
    let (has_uid, has_gid) = (maps.host_uid(uid).is_some(), maps.host_gid(gid).is_some());
    let instead = (if has_uid { uid } else { 0 }, if has_gid { gid } else { 0 });
    (!has_uid || !has_gid).then_some(Owner { uid, gid, instead })
}

fn ids(entry: &Headed) -> (u32, u32) {
    let id = |id: u64| u32::try_from(id).unwrap_or(0);
    (id(entry.attributes.uid), id(entry.attributes.gid))
}

fn device(entry: &Headed) -> Option<Device> {
    let flag = match entry.kind {
        Kind::CharacterDevice => Flag::CharacterDevice,
        Kind::BlockDevice => Flag::BlockDevice,
        _ => return None,
    };
    let (uid, gid) = ids(entry);
    let mtime = (entry.attributes.mtime.seconds, entry.attributes.mtime.nanoseconds);
    Some(Device { flag, mode: entry.attributes.mode, uid, gid, mtime, device: entry.device })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(uid: u32, is_directory: bool) -> Told {
        let owner = (uid != 0).then_some(Owner { uid, gid: uid, instead: (0, 0) });
        Told { is_directory, owner, device: None }
    }

    fn layer(told: Vec<(&str, Told)>, gone: &[&str], opaque: &[&str]) -> Above {
        let bytes = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let told = told.into_iter().map(|(path, told)| (path.as_bytes().to_vec(), told)).collect();
        Above { gone: bytes(gone), opaque: bytes(opaque), told }
    }

    #[test]
    fn layers_cover_each_other() {
        let mut all = Remembered::default();
        let below = ["a", "a/x", "a/y", "b", "c", "c/d", "ca", "e"];
        all.cover(layer(below.map(|path| (path, told(7, path == "a" || path == "c"))).into(), &[], &[]));
        // One is root's now, one removed, a directory became a file, another has nothing from below.
        all.cover(layer(vec![("b", told(0, false)), ("c", told(9, false)), ("a/z", told(8, false))], &["e"], &["a"]));
        let owners: Vec<(&str, u32)> =
            all.owners.iter().map(|(path, owner)| (std::str::from_utf8(path).expect("text"), owner.uid)).collect();
        assert_eq!(owners, [("a", 7), ("a/z", 8), ("c", 9), ("ca", 7)]);
        let mut stat = rustix::fs::stat("/").expect("examines");
        (stat.st_uid, stat.st_gid) = (0, 0);
        assert!(all.owner(b"a/", &mut stat) && (stat.st_uid, stat.st_gid) == (7, 7));
        assert!(!all.owner(b"a/", &mut stat), "somebody gave it an owner of its own");
    }
}
