//! What an image has in a directory, put together from its layers and copied into a new volume.
//!
//! Layers are directories in overlay form, as `storage` unpacks them; they do not change, and nobody else writes to the target.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr, lsetxattr, utimensat};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::spec::settings::Identity;
use crate::userns::owner;

/// Marks a directory as opaque where extended attributes cannot.
const OPAQUE: &str = ".wh..wh..opq";

/// As the kernel: more links than this in one path are a loop.
const MAX_LINKS: usize = 40;

/// The directories that together are `path` inside the image, top first; empty when the image has no directory there.
pub(super) fn directories(lower: &[PathBuf], path: &str) -> Result<Vec<PathBuf>> {
    let mut stack = lower.to_vec();
    let mut todo: Vec<OsString> = parts(Path::new(path));
    let mut walked: Vec<OsString> = Vec::new();
    let mut links = 0;
    while let Some(name) = todo.pop() {
        match step(&stack, &name)? {
            Found::Nothing | Found::Other(_) => return Ok(Vec::new()),
            Found::Directories(below) => {
                stack = below;
                walked.push(name);
            }
            Found::Link(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(Vec::new());
                }
                // Links are of the image and stay inside it: start again from its root.
                let mut whole: PathBuf = if target.is_absolute() { PathBuf::new() } else { walked.iter().collect() };
                whole.push(target.strip_prefix("/").unwrap_or(&target));
                whole.extend(todo.iter().rev());
                todo = parts(&whole);
                (stack, walked) = (lower.to_vec(), Vec::new());
            }
        }
    }
    Ok(stack)
}

/// The parts of a path, last first, without `.` and with `..` taken lexically below the root.
fn parts(path: &Path) -> Vec<OsString> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => parts.push(name.to_owned()),
            Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    parts.reverse();
    parts
}

/// What a name is in a stack of directories.
enum Found {
    Nothing,
    Directories(Vec<PathBuf>),
    Link(PathBuf),
    Other(PathBuf),
}

fn step(stack: &[PathBuf], name: &OsString) -> Result<Found> {
    let mut below = Vec::new();
    for dir in stack {
        let path = dir.join(name);
        let what = || format!("cannot read {}", path.display());
        let meta = match std::fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::wrap(what(), e)),
        };
        if meta.is_dir() {
            let opaque = is_opaque(&path);
            below.push(path);
            if opaque {
                break;
            }
        } else if !below.is_empty() || is_whiteout(&path, &meta) {
            break;
        } else if meta.file_type().is_symlink() {
            return Ok(Found::Link(std::fs::read_link(&path).context(what)?));
        } else {
            return Ok(Found::Other(path));
        }
    }
    Ok(if below.is_empty() { Found::Nothing } else { Found::Directories(below) })
}

fn is_whiteout(path: &Path, meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
        || meta.is_file() && meta.len() == 0 && has_xattr(path, "user.overlay.whiteout")
}

fn has_xattr(path: &Path, name: &str) -> bool {
    lgetxattr(path, name, &mut [0u8; 8]).is_ok()
}

/// The value `x` only says that there may be whiteouts in the directory.
fn is_opaque(path: &Path) -> bool {
    let mut value = [0u8; 8];
    let marked = lgetxattr(path, "user.overlay.opaque", &mut value).is_ok_and(|length| value[..length] == *b"y");
    marked || path.join(OPAQUE).symlink_metadata().is_ok()
}

/// Copies what the image has at `path` into the empty directory `target`, which belongs to `owner` when it has nothing.
/// Runs as root of the user namespace.
pub(super) fn fill(target: &Path, lower: &[PathBuf], path: &str, owner: &Identity, single: bool) -> Result<()> {
    let sources = directories(lower, path)?;
    if sources.is_empty() {
        return chown(target, owner.uid, owner.gid, single);
    }
    Copy { single, hard_links: HashMap::new() }.directory(&sources, target)
}

/// With a single-id map everything belongs to the user, as in the layers.
fn chown(path: &Path, uid: u32, gid: u32, single: bool) -> Result<()> {
    if single {
        return Ok(());
    }
    owner::give(path, uid, gid).context(|| format!("cannot give {} its owner", path.display()))
}

struct Copy {
    single: bool,
    /// (device, inode) of a source with several names → its first copy.
    hard_links: HashMap<(u64, u64), PathBuf>,
}

impl Copy {
    fn directory(&mut self, sources: &[PathBuf], target: &Path) -> Result<()> {
        for name in names(sources)? {
            let place = target.join(&name);
            match step(sources, &name)? {
                Found::Nothing => {}
                Found::Directories(below) => {
                    std::fs::create_dir(&place).context(|| format!("cannot create {}", place.display()))?;
                    self.directory(&below, &place)?;
                }
                Found::Link(link) => {
                    std::os::unix::fs::symlink(&link, &place)
                        .context(|| format!("cannot create the link {}", place.display()))?;
                    if let Some(source) = top(sources, &name) {
                        self.attributes(&source, &place)?;
                    }
                }
                Found::Other(source) => self.file(&source, &place)?,
            }
        }
        // Last: a directory without write permission can be filled, and its times stay.
        sources.first().map_or(Ok(()), |source| self.attributes(source, target))
    }

    fn file(&mut self, source: &Path, place: &Path) -> Result<()> {
        let what = || format!("cannot copy {}", source.display());
        let meta = std::fs::symlink_metadata(source).context(what)?;
        if meta.nlink() > 1 {
            if let Some(first) = self.hard_links.get(&(meta.dev(), meta.ino())) {
                return std::fs::hard_link(first, place).context(what);
            }
            self.hard_links.insert((meta.dev(), meta.ino()), place.to_path_buf());
        }
        if meta.is_file() {
            std::fs::copy(source, place).context(what)?;
        } else if meta.file_type().is_fifo() {
            rustix::fs::mknodat(CWD, place, rustix::fs::FileType::Fifo, 0o600.into(), 0).context(what)?;
        } else {
            // Sockets are of use to their maker only, and nodes of devices cannot be made here.
            return Ok(());
        }
        self.attributes(source, place)
    }

    fn attributes(&self, source: &Path, place: &Path) -> Result<()> {
        let what = || format!("cannot copy the attributes of {}", source.display());
        let meta = std::fs::symlink_metadata(source).context(what)?;
        chown(place, meta.uid(), meta.gid(), self.single)?;
        let link = meta.file_type().is_symlink();
        if !link {
            // After chown, which takes setuid bits and file capabilities away.
            std::fs::set_permissions(place, std::fs::Permissions::from_mode(meta.mode() & 0o7777)).context(what)?;
            copy_xattrs(source, place).context(what)?;
        }
        let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps {
            last_access: time(meta.atime(), meta.atime_nsec()),
            last_modification: time(meta.mtime(), meta.mtime_nsec()),
        };
        utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW).context(what)
    }
}

/// The names in a stack of directories; whiteouts are sorted out by [`step`].
fn names(sources: &[PathBuf]) -> Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for dir in sources {
        let what = || format!("cannot list {}", dir.display());
        for entry in std::fs::read_dir(dir).context(what)? {
            let name = entry.context(what)?.file_name();
            if name != OPAQUE {
                names.insert(name);
            }
        }
    }
    Ok(names)
}

/// The topmost directory's entry of that name.
fn top(sources: &[PathBuf], name: &OsString) -> Option<PathBuf> {
    sources.iter().map(|dir| dir.join(name)).find(|path| path.symlink_metadata().is_ok())
}

/// What is the image's own: not overlay's marks, nor what this file system does not take.
fn copy_xattrs(source: &Path, place: &Path) -> rustix::io::Result<()> {
    let mut names = vec![0u8; 65_536];
    let length = match llistxattr(source, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(e) => return Err(e),
    };
    let mut value = vec![0u8; 65_536];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let wanted =
            name.starts_with(b"user.") && !name.starts_with(b"user.overlay.") || name == b"security.capability";
        if !wanted {
            continue;
        }
        let size = lgetxattr(source, name, &mut value[..])?;
        match lsetxattr(place, name, &value[..size], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three layers, the top one first.
    fn layers(base: &Path) -> Vec<PathBuf> {
        let layers: Vec<PathBuf> = ["top", "middle", "bottom"].iter().map(|name| base.join(name)).collect();
        let write = |layer: usize, path: &str, text: &str| {
            let path = layers[layer].join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
            std::fs::write(path, text).expect("write");
        };
        write(2, "data/a", "bottom");
        write(2, "data/gone", "bottom");
        write(2, "data/opaque/hidden", "bottom");
        write(2, "data/deep/x", "bottom");
        write(1, "data/a", "middle");
        write(1, "data/opaque/seen", "middle");
        write(1, "data/deep/y", "middle");
        write(1, "data/marked/.wh..wh..opq", "");
        write(2, "data/marked/hidden", "bottom");
        write(0, "data/gone", "");
        let mark = |path: &str, name: &str| lsetxattr(base.join(path), name, b"y", XattrFlags::empty());
        mark("middle/data/opaque", "user.overlay.opaque").expect("xattr");
        lsetxattr(base.join("top/data"), "user.overlay.opaque", b"x", XattrFlags::empty()).expect("xattr");
        mark("top/data/gone", "user.overlay.whiteout").expect("xattr");
        std::os::unix::fs::symlink("../data", layers[2].join("data/../link")).expect("link");
        std::os::unix::fs::symlink("/link/deep", layers[2].join("second")).expect("link");
        std::os::unix::fs::symlink("loop", layers[2].join("loop")).expect("link");
        std::os::unix::fs::symlink("/etc/passwd", layers[2].join("data/outside")).expect("link");
        layers
    }

    #[test]
    fn layers_are_put_together() {
        let base = std::env::temp_dir().join(format!("rpod-copy-up-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&base);
        std::fs::create_dir_all(&base).expect("mkdir");
        let layers = layers(&base);
        for (path, count) in [
            ("/data", 3),
            ("/data/opaque", 1),
            ("/data/deep", 2),
            ("/link/deep", 2),
            ("/second", 2),
            ("/loop", 0),
            ("/data/a", 0),
            ("/data/gone", 0),
            ("/missing/x", 0),
            ("/../data", 3),
        ] {
            assert_eq!(directories(&layers, path).expect(path).len(), count, "{path}");
        }
        let target = base.join("target");
        std::fs::create_dir(&target).expect("mkdir");
        fill(&target, &layers, "/data", &Identity::default(), true).expect("copied");
        let read = |name: &str| std::fs::read_to_string(target.join(name)).ok();
        assert_eq!(read("a").as_deref(), Some("middle"));
        assert_eq!(read("deep/x").as_deref(), Some("bottom"));
        assert_eq!(read("deep/y").as_deref(), Some("middle"));
        assert_eq!(read("opaque/seen").as_deref(), Some("middle"));
        assert_eq!(std::fs::read_dir(target.join("marked")).expect("a directory").count(), 0);
        assert!(read("opaque/hidden").is_none() && read("gone").is_none());
        assert_eq!(std::fs::read_link(target.join("outside")).ok(), Some(PathBuf::from("/etc/passwd")));
        let times = |path: &Path| path.symlink_metadata().map(|m| (m.mtime(), m.mtime_nsec())).ok();
        assert_eq!(times(&target.join("a")), times(&layers[1].join("data/a")));
        assert_eq!(times(&target.join("deep")), times(&layers[1].join("data/deep")));
        std::fs::remove_dir_all(&base).expect("removed");
    }
}
