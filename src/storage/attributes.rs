//! Whether the files of a layer still have the owners and modes that its tar gives them. Their content is another matter: the
//! tar, which is made from it, has the layer's digest.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, openat, statat};
use rustix::io::Errno;

use super::Layer;
use crate::error::{Context, Result};
use crate::sys::lookup::openat2;
use crate::userns::{IdMaps, enter};

/// What the tar says of one path. `None` for an owner: not kept here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    owner: Option<(u32, u32)>,
    mode: Option<u32>,
    is_directory: bool,
}

/// Reads a layer's tar to its end; what is no tar for the library counts for nothing.
pub(crate) fn wanted(mut tar: impl Read, maps: &IdMaps) -> Result<BTreeMap<PathBuf, Wanted>> {
    let mut wanted: BTreeMap<PathBuf, Wanted> = BTreeMap::new();
    if let Ok(entries) = tar::Archive::new(&mut tar).entries() {
        for entry in entries.map_while(std::result::Result::ok) {
            let header = entry.header();
            let kind = header.entry_type();
            let bytes = entry.path_bytes();
            let path: PathBuf = std::ffi::OsStr::from_bytes(&bytes).into();
            let plain = path.components().filter(|part| *part != std::path::Component::CurDir);
            let path: PathBuf = plain.clone().collect();
            let odd = plain.clone().any(|part| !matches!(part, std::path::Component::Normal(_)));
            let name = path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
            if odd || name.is_empty() || name.starts_with(b".wh.") {
                continue;
            }
            // What stood in the way of a directory gave way to it.
            path.ancestors().skip(1).for_each(|above| {
                if wanted.get(above).is_some_and(|wanted| !wanted.is_directory) {
                    wanted.remove(above);
                }
            });
            // A link is what it leads to, and gives that nothing.
            if kind.is_hard_link() {
                wanted.remove(&path);
                continue;
            }
            let (Ok(uid), Ok(gid), Ok(mode)) = (header.uid(), header.gid(), header.mode()) else { continue };
            let id = |id: u64, known: &dyn Fn(u32) -> Option<u32>| {
                u32::try_from(id).ok().filter(|id| known(*id).is_some()).unwrap_or(0)
            };
            let owner = (id(uid, &|id| maps.host_uid(id)), id(gid, &|id| maps.host_gid(id)));
            let has_mode = kind.is_file() || kind.is_dir();
            wanted.insert(
                path,
                Wanted {
                    owner: (!maps.is_single()).then_some(owner),
                    mode: has_mode.then_some(mode & 0o7777),
                    is_directory: kind.is_dir(),
                },
            );
        }
    }
    std::io::copy(&mut tar, &mut std::io::sink()).context(|| "cannot read the layer")?;
    Ok(wanted)
}

impl Layer {
    /// The first difference, if there is any. For a single-threaded process.
    pub(crate) fn differs(&self, wanted: &BTreeMap<PathBuf, Wanted>, maps: &IdMaps) -> Result<Option<String>> {
        let diff = self.diff();
        enter::run(maps, || {
            let root = openat(CWD, &diff, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .context(|| format!("cannot open {}", diff.display()))?;
            for (path, wanted) in wanted {
                let shown = path.display();
                let (parent, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
                let parent = if parent.as_os_str().is_empty() { std::path::Path::new(".") } else { parent };
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                let stat = openat2(&root, parent, flags, resolve)
                    .and_then(|parent| statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW));
                let stat = match stat {
                    Ok(stat) => stat,
                    // A later entry of the same tar may have put something else in its place.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                    Err(e) => return Err(e).context(|| format!("cannot examine {shown}")),
                };
                if let Some((uid, gid)) = wanted.owner.filter(|owner| *owner != (stat.st_uid, stat.st_gid)) {
                    let found = format!("{}:{}", stat.st_uid, stat.st_gid);
                    return Ok(Some(format!("{shown} belongs to {found} and not to {uid}:{gid}")));
                }
                if let Some(mode) = wanted.mode.filter(|mode| *mode != stat.st_mode & 0o7777) {
                    let found = stat.st_mode & 0o7777;
                    return Ok(Some(format!("the mode of {shown} is {found:04o} and not {mode:04o}")));
                }
            }
            Ok(None)
        })
    }
}
