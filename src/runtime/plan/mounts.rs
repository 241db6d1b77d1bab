//! The Spec's mounts, devices, masked and read-only paths → operations.

use std::ffi::CString;
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{Linux, Mount, Spec};

use super::{Builder, Op, Slot, cstring, path};
use crate::error::{Error, Result};
use crate::spec::settings::SUBPATH;
use crate::sys::mount::Attributes;
use crate::userns::IdMaps;

/// Everything that is mounted, sorted by when it can be.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// Attached as soon as the root is there: the kernel's own file systems at their usual places.
    early: Vec<Op>,
    masks: Vec<Op>,
    /// Nodes and links in the container's own /dev.
    nodes: Vec<Op>,
    /// In the Spec's order.
    late: Vec<Op>,
    /// Whether a late mount lies below what is masked.
    masks_last: bool,
    proc: Option<Slot>,
    pub dev: Option<Slot>,
    pub devpts: Option<Slot>,
    /// Whether a mount is given from outside, and as what.
    given: bool,
    pub shm: Option<Slot>,
    /// Makes /dev read-only in the end.
    protected: Option<Op>,
}

/// The devices that every container has (OCI runtime spec, "Default Devices"), with their numbers.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// Where the kernel's file systems may be attached before anything else.
const USUAL: [(&str, &str); 4] =
    [("/proc", "proc"), ("/dev", "tmpfs"), ("/sys", "sysfs"), ("/sys/fs/cgroup", "cgroup")];

impl Mounts {
    /// Pushes what makes the mounts; [`Self::push_early`] and [`Self::push_late`] push what attaches them.
    /// `shm`: there is a mount for /dev/shm.
    pub(super) fn compile(
        builder: &mut Builder,
        spec: &Spec,
        linux: &Linux,
        maps: Option<&IdMaps>,
        shm: bool,
    ) -> Result<Self> {
        let mut mounts = Self { given: shm, ..Self::default() };
        let mut covered: Vec<PathBuf> = Vec::new();
        for mount in spec.mounts().iter().flatten() {
            let place = normal(mount.destination())?;
            let usual = USUAL.iter().any(|(at, kind)| Path::new(at) == place && mount.typ().as_deref() == Some(kind));
            let early = usual && !covered.iter().any(|other| place.starts_with(other));
            mounts.add(builder, mount, &place, early, maps)?;
            if !early {
                mounts.masks_last |= ["/proc", "/sys"].iter().any(|kernel| place.starts_with(kernel));
                covered.push(place);
            }
        }
        mounts.devices(builder, linux)?;
        for masked in linux.masked_paths().iter().flatten() {
            mounts.masks.push(Op::Mask(cstring(masked)?));
        }
        for path in linux.readonly_paths().iter().flatten() {
            mounts.masks.push(Op::ReadOnly(cstring(path)?));
        }
        Ok(mounts)
    }

    pub(super) fn push_early(&mut self, builder: &mut Builder) {
        builder.ops.append(&mut self.early);
        if !self.masks_last {
            builder.ops.append(&mut self.masks);
        }
    }

    pub(super) fn push_late(&mut self, builder: &mut Builder) {
        for ops in [&mut self.nodes, &mut self.late, &mut self.masks] {
            builder.ops.append(ops);
        }
        builder.ops.extend(self.protected.take());
    }

    fn add(
        &mut self,
        builder: &mut Builder,
        mount: &Mount,
        place: &Path,
        early: bool,
        maps: Option<&IdMaps>,
    ) -> Result<()> {
        let what = || format!("cannot mount on {}", place.display());
        let mut options =
            Options::parse(mount.options().as_deref().unwrap_or_default()).map_err(|e| Error::wrap(what(), e))?;
        let slot = builder.slot();
        let kind = mount.typ().as_deref().unwrap_or_default();
        let bind = kind == "bind" || kind.is_empty() || kind == "none" || options.bind;
        let mut needs_ids = false;
        let make = if bind {
            let source = mount.source().as_deref().filter(|s| s.is_absolute());
            if source.is_none() && self.given && place == Path::new("/dev/shm") {
                self.shm = Some(slot);
                self.late.push(Op::Attach { slot, place: path(place)?, only_directory: false });
                return Ok(());
            }
            let source = source.ok_or_else(|| Error::new(format!("{}: a bind needs an absolute source", what())))?;
            if let Some(target) = options.link(source) {
                self.late.push(Op::LinkAt { place: path(place)?, target: path(&target)? });
                return Ok(());
            }
            match &options.subpath {
                None => options.copy(slot, path(source)?),
                Some(part) => {
                    let whole = builder.slot();
                    builder.push(Op::Open { slot: whole, path: path(source)? });
                    Op::CopyBelow {
                        whole,
                        part: cstring(part)?,
                        copy: Box::new(options.copy(slot, CString::default())),
                    }
                }
            }
        } else if kind == "overlay" {
            options.overlay(builder, slot, place)?
        } else {
            let mut data = options.data(kind, maps)?;
            if let Some(source) = mount.source().as_deref().and_then(Path::to_str) {
                // What mount(8) and df(1) show as the device.
                data.push((c"source".to_owned(), Some(cstring(source)?)));
            }
            if place == Path::new("/dev") && kind == "tmpfs" && options.set & RDONLY != 0 {
                // Nodes and places of other mounts are made in it first.
                options.set &= !RDONLY;
                self.protected = Some(Op::Protect { slot });
            }
            needs_ids = data.iter().any(|(key, _)| [c"uid", c"gid"].contains(&key.as_c_str()));
            // The one hierarchy that can be mounted in a user namespace.
            let kind = if kind == "cgroup" { "cgroup2" } else { kind };
            options.filesystem(slot, cstring(kind)?, data)
        };
        match (place.to_str(), kind) {
            (Some("/proc"), "proc") => self.proc = Some(slot),
            (Some("/dev"), "tmpfs") => self.dev = Some(slot),
            (Some("/dev/pts"), "devpts") => self.devpts = Some(slot),
            _ => {}
        }
        let late = if early { &mut self.early } else { &mut self.late };
        if needs_ids {
            late.push(make)
        } else {
            builder.push(make)
        }
        let place = path(place)?;
        let like_below = kind == "tmpfs" && !options.data.iter().any(|(key, _)| key == "mode");
        if options.copy_up || like_below {
            late.push(Op::CopyUp { slot, place: place.clone(), mode: like_below, content: options.copy_up });
        }
        // A link in the image must not move what later steps take for the real /proc and /sys (runc's rule as well).
        late.push(Op::Attach { slot, place, only_directory: matches!(kind, "proc" | "sysfs") });
        Ok(())
    }

    /// Copies of the host's nodes: mknod is not allowed in a user namespace.
    fn devices(&mut self, builder: &mut Builder, linux: &Linux) -> Result<()> {
        let Some(dev) = self.dev else { return Ok(()) };
        let mut wanted: Vec<(String, Option<(u32, u32)>)> =
            DEVICES.iter().map(|&(name, major, minor)| (name.to_owned(), Some((major, minor)))).collect();
        for device in linux.devices().iter().flatten() {
            let inside = device.path().strip_prefix("/dev").ok().and_then(Path::to_str).filter(|p| !p.is_empty());
            let name = inside.ok_or_else(|| {
                Error::new(format!("cannot add the device {}: it is not below /dev", device.path().display()))
            })?;
            normal(device.path())?;
            if !wanted.iter().any(|(known, _)| known == name) {
                let number = u32::try_from(device.major()).ok().zip(u32::try_from(device.minor()).ok());
                wanted.push((name.to_owned(), number));
            }
        }
        for (name, number) in wanted {
            let slot = builder.slot();
            let source = cstring(&format!("/dev/{name}"))?;
            let nothing = Attributes::default();
            let (attributes, recursive_attributes) = (nothing, nothing);
            builder.push(Op::Copy { slot, source, recursive: false, attributes, recursive_attributes });
            self.nodes.push(Op::Device { slot, dev, path: cstring(&name)?, number });
        }
        for (name, target) in LINKS {
            self.nodes.push(Op::Link { dev, name: cstring(name)?, target: cstring(target)? });
        }
        Ok(())
    }
}

/// An absolute path without `.`, and with no `..` that could surprise.
fn normal(destination: &Path) -> Result<PathBuf> {
    let bad =
        || Error::new(format!("{} is not a place for a mount: it must be an absolute path", destination.display()));
    if !destination.is_absolute() {
        return Err(bad());
    }
    let mut place = PathBuf::from("/");
    for component in destination.components() {
        match component {
            Component::Normal(name) => place.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir => {
                place.pop();
            }
            Component::Prefix(_) => return Err(bad()),
        }
    }
    if place == Path::new("/") { Err(bad()) } else { Ok(place) }
}

/// Mount options of fstab(5) form, sorted by who takes them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    set: u64,
    clear: u64,
    recursive_set: u64,
    recursive_clear: u64,
    /// MS_PRIVATE and so on, and whether it applies to everything below.
    propagation: Option<(u64, bool)>,
    bind: bool,
    recursive: bool,
    copy_up: bool,
    /// A link as source is made anew instead of followed (crun's `copy-symlink`).
    copy_link: bool,
    subpath: Option<String>,
    /// For the file system itself.
    data: Vec<(String, Option<String>)>,
}

/// `MOUNT_ATTR_*` (linux/mount.h).
const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;

/// Option → bits to set, bits to clear.
const FLAGS: [(&str, u64, u64); 15] = [
    ("ro", RDONLY, 0),
    ("rw", 0, RDONLY),
    ("nosuid", NOSUID, 0),
    ("suid", 0, NOSUID),
    ("nodev", NODEV, 0),
    ("dev", 0, NODEV),
    ("noexec", NOEXEC, 0),
    ("exec", 0, NOEXEC),
    ("noatime", NOATIME, ATIME),
    ("relatime", 0, ATIME),
    ("strictatime", STRICTATIME, ATIME),
    ("nodiratime", NODIRATIME, 0),
    ("diratime", 0, NODIRATIME),
    ("nosymfollow", NOSYMFOLLOW, 0),
    ("symfollow", 0, NOSYMFOLLOW),
];

const PROPAGATIONS: [(&str, u64); 4] = [
    ("private", libc::MS_PRIVATE),
    ("slave", libc::MS_SLAVE),
    ("shared", libc::MS_SHARED),
    ("unbindable", libc::MS_UNBINDABLE),
];

impl Options {
    fn parse(list: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for option in list {
            let option = option.as_str();
            let (plain, recursive) = match option.strip_prefix('r') {
                Some(plain) if !FLAGS.iter().any(|(name, ..)| *name == option) => (plain, true),
                _ => (option, false),
            };
            if let Some((_, set, clear)) = FLAGS.iter().find(|(name, ..)| *name == plain) {
                let (to_set, to_clear) = match recursive {
                    true => (&mut options.recursive_set, &mut options.recursive_clear),
                    false => (&mut options.set, &mut options.clear),
                };
                *to_set = *to_set & !clear | set;
                *to_clear = *to_clear & !set | clear;
            } else if let Some((_, propagation)) = PROPAGATIONS.iter().find(|(name, _)| *name == plain) {
                options.propagation = Some((*propagation, recursive));
            } else {
                options.other(option)?;
            }
        }
        Ok(options)
    }

    fn other(&mut self, option: &str) -> Result<()> {
        match option {
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "tmpcopyup" => self.copy_up = true,
            "notmpcopyup" => self.copy_up = false,
            "" | "defaults" | "async" | "nomand" | "nolazytime" => {}
            "copy-symlink" => self.copy_link = true,
            "idmap" | "ridmap" => return Err(Error::new("id-mapped mounts are not supported by the built-in runtime")),
            _ if option.starts_with(SUBPATH) => self.subpath = option.strip_prefix(SUBPATH).map(str::to_owned),
            _ => {
                let (key, value) = option.split_once('=').map_or((option, None), |(k, v)| (k, Some(v.to_owned())));
                self.data.push((key.to_owned(), value));
            }
        }
        Ok(())
    }

    /// The file system's options. Ids that are not mapped cannot be used; for devpts' group that is of little matter.
    fn data(&self, kind: &str, maps: Option<&IdMaps>) -> Result<Vec<(CString, Option<CString>)>> {
        let mut data = Vec::with_capacity(self.data.len());
        for (key, value) in &self.data {
            let id = value.as_deref().and_then(|v| v.parse().ok());
            let mapped = |find: fn(&IdMaps, u32) -> Option<u32>| match (maps, id) {
                (Some(maps), Some(id)) => find(maps, id).is_some(),
                _ => true,
            };
            let usable = match key.as_str() {
                "uid" => mapped(IdMaps::host_uid),
                "gid" => mapped(IdMaps::host_gid),
                _ => true,
            };
            match usable {
                true => data.push((cstring(key)?, value.as_deref().map(cstring).transpose()?)),
                false if kind == "devpts" => {}
                false => return Err(Error::new(format!("cannot mount {kind}: {key} {id:?} is not mapped"))),
            }
        }
        Ok(data)
    }

    /// Where the source leads, if it is a link that is to be made anew.
    fn link(&self, source: &Path) -> Option<PathBuf> {
        if self.copy_link { std::fs::read_link(source).ok() } else { None }
    }

    /// Its directories are opened while that is possible, in the place of paths that may hold colons.
    fn overlay(&self, builder: &mut Builder, slot: Slot, place: &Path) -> Result<Op> {
        let value = |name: &str| self.data.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.as_deref());
        let missing = |name: &str| Error::new(format!("the overlay on {} has no {name}", place.display()));
        let mut open = |path: &str| -> Result<Slot> {
            let slot = builder.slot();
            builder.push(Op::Open { slot, path: cstring(path)? });
            Ok(slot)
        };
        let lower = value("lowerdir").ok_or_else(|| missing("lowerdir"))?;
        let lower = lower_directories(lower).iter().map(|dir| open(dir)).collect::<Result<Vec<_>>>()?;
        let upper = value("upperdir").ok_or_else(|| missing("upperdir"))?;
        let name = cstring(Path::new(upper).file_name().and_then(|name| name.to_str()).unwrap_or("."))?;
        let upper = open(upper)?;
        let work = open(value("workdir").ok_or_else(|| missing("workdir"))?)?;
        let part = self.subpath.as_deref().map(cstring).transpose()?;
        let attributes = Attributes::new(self.set | self.recursive_set, 0, libc::MS_PRIVATE);
        Ok(Op::Overlay { slot, lower, upper, name, work, part, attributes })
    }

    fn filesystem(&self, slot: Slot, kind: CString, options: Vec<(CString, Option<CString>)>) -> Op {
        let set = self.set | self.recursive_set;
        let propagation = self.propagation.map_or(0, |(kind, _)| kind);
        // What is new is private already.
        let propagation = if propagation == libc::MS_PRIVATE { 0 } else { propagation };
        Op::Filesystem { slot, kind, options, attributes: Attributes::new(set, 0, propagation) }
    }

    /// Binds keep the host's flags, which the kernel locks anyway, and get more restrictive ones only.
    fn copy(&self, slot: Slot, source: CString) -> Op {
        let (propagation, deep) = self.propagation.unwrap_or((libc::MS_PRIVATE, true));
        let deep = deep && self.recursive;
        let clear = |set: u64| if set & ATIME != 0 { ATIME } else { 0 };
        Op::Copy {
            slot,
            source,
            recursive: self.recursive,
            attributes: Attributes::new(self.set, clear(self.set), if deep { 0 } else { propagation }),
            recursive_attributes: Attributes::new(
                self.recursive_set,
                clear(self.recursive_set),
                if deep { propagation } else { 0 },
            ),
        }
    }
}

/// overlayfs's `lowerdir`: separated by colons, of which one behind a backslash is part of a name.
fn lower_directories(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, all.last_mut()) {
            (':', _) => all.push(String::new()),
            ('\\', Some(last)) => last.extend(chars.next()),
            (c, Some(last)) => last.push(c),
            (_, None) => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Options {
        Options::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>()).expect("parses")
    }

    #[test]
    fn options_are_sorted_by_who_takes_them() {
        let options = parse("rbind,ro,nosuid,rro,rprivate,size=64k,mode=755");
        assert_eq!((options.set, options.recursive_set), (RDONLY | NOSUID, RDONLY));
        assert_eq!(options.propagation, Some((libc::MS_PRIVATE, true)));
        assert!(options.bind && options.recursive);
        assert_eq!(options.data.len(), 2);
        assert_eq!(parse("ro,rw").set, 0);
        assert_eq!(parse("relatime").propagation, None);
        assert_eq!(parse("rw").clear, RDONLY);
        assert_eq!(parse("slave").propagation, Some((libc::MS_SLAVE, false)));
        assert!(Options::parse(&["idmap".to_owned()]).is_err());
    }

    #[test]
    fn lower_directories_of_an_overlay() {
        for (text, expected) in
            [("/a:/b", vec!["/a", "/b"]), ("/a\\:b:/c", vec!["/a:b", "/c"]), ("/a\\\\b", vec!["/a\\b"])]
        {
            assert_eq!(lower_directories(text), expected, "{text}");
        }
    }

    #[test]
    fn places_are_normal() {
        for (given, place) in
            [("/a/../b", Some("/b")), ("/./a//b/", Some("/a/b")), ("a", None), ("/", None), ("/..", None)]
        {
            assert_eq!(normal(Path::new(given)).ok().as_deref(), place.map(Path::new));
        }
    }
}
