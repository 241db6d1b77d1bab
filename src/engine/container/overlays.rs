//! The directories that overlays inside a container write to. They begin empty at every start, as in Podman.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::image_mounts;
use super::record::Config;
use super::remove::remove_tree;
use super::resolve;
use crate::error::{Context, Result};
use crate::state::paths::create_private;
use crate::userns::{IdMaps, IdRange, enter, owner};

/// Makes those that are planned below `disk`, the container's directory, and takes away what the last start left. For a
/// single-threaded process.
pub(super) fn renew(disk: &Path, config: &Config) -> Result<()> {
    for mount in config.spec.mounts().iter().flatten().filter(|mount| mount.typ().as_deref() == Some("overlay")) {
        let place = resolve::overlays(&disk.join("rootfs"));
        let options = mount.options().as_deref().unwrap_or_default();
        let Some(upper) = upper(options).filter(|path| path.starts_with(&place)) else { continue };
        let lower = option(options, "lowerdir=").map(first).unwrap_or_default();
        let there = upper.exists();
        empty(&upper)?;
        // An image's have their attributes from its layers, unless this is the copy of another container.
        if !there || !upper.parent().is_some_and(image_mounts::is_one) {
            be_like(&lower, &upper, config.maps.as_ref())
                .context(|| format!("cannot mount an overlay over {}", lower.display()))?;
        }
    }
    Ok(())
}

/// An overlay's root has the owner and mode of its upper directory, so that gets those of what lies below; in a container
/// without that owner its root has them.
fn be_like(lower: &Path, upper: &Path, container: Option<&IdMaps>) -> Result<()> {
    let meta = fs::metadata(lower).context(|| "cannot examine it")?;
    let work = upper.with_file_name("work");
    create_private(upper)?;
    create_private(&work)?;
    let failed = || format!("cannot change {}", upper.display());
    let (own, maker) = (fs::metadata(upper).context(failed)?, fs::metadata(disk_of(upper)).context(failed)?);
    let inside = |(uid, gid)| container.is_none_or(|maps| has(&maps.uids, uid) && has(&maps.gids, gid));
    let (owner, maker) = ((meta.uid(), meta.gid()), (maker.uid(), maker.gid()));
    let root = container.map_or(Some(maker), |maps| maps.host_uid(0).zip(maps.host_gid(0)));
    let wanted = if inside(owner) { Some(owner) } else { root };
    let mode = || fs::set_permissions(upper, fs::Permissions::from_mode(meta.mode() & 0o7777)).context(failed);
    if wanted == Some((own.uid(), own.gid())) && wanted == Some(maker) {
        return mode();
    }
    let whole = IdMaps::for_user()?;
    let ids = |ids| within(&whole, ids);
    let (Some(wanted), Some(root), false) = (wanted.and_then(ids), root.and_then(ids), whole.is_single()) else {
        return mode();
    };
    enter::run(&whole, || {
        let own = |path: &Path, (uid, gid): (u32, u32)| owner::give(path, uid, gid);
        if !inside(maker) {
            own(&work, root).context(failed)?;
        }
        // chown(2) takes some bits of the mode away.
        own(upper, wanted).context(failed).and_then(|()| mode())
    })
}

/// A directory that certainly belongs to the user.
fn disk_of(upper: &Path) -> &Path {
    upper.parent().unwrap_or(upper)
}

fn has(ranges: &[IdRange], id: u32) -> bool {
    ranges.iter().any(|range| id >= range.host && id - range.host < range.size)
}

/// Ids of the host as the map has them; `None` when one is not in it.
fn within(maps: &IdMaps, (uid, gid): (u32, u32)) -> Option<(u32, u32)> {
    let find = |ranges: &[IdRange], id: u32| {
        let range = ranges.iter().find(|range| id >= range.host && id - range.host < range.size)?;
        Some(range.container + (id - range.host))
    };
    find(&maps.uids, uid).zip(find(&maps.gids, gid))
}

fn empty(directory: &Path) -> Result<()> {
    let failed = || format!("cannot empty {}", directory.display());
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            return enter::run(&IdMaps::for_user()?, || clear(directory).context(failed));
        }
        entries => entries.context(failed)?,
    };
    for entry in entries {
        remove_tree(&entry.context(failed)?.path())?;
    }
    Ok(())
}

/// As root of the user's ids.
fn clear(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        crate::storage::remove_path(&entry?.path()).map_err(std::io::Error::other)?;
    }
    Ok(())
}

fn option<'o>(options: &'o [String], name: &str) -> Option<&'o str> {
    options.iter().find_map(|option| option.strip_prefix(name))
}

fn upper(options: &[String]) -> Option<PathBuf> {
    option(options, "upperdir=").map(PathBuf::from)
}

/// The topmost of the lower directories, without its escapes.
fn first(lower: &str) -> PathBuf {
    let mut path = String::new();
    let mut chars = lower.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => break,
            '\\' => path.extend(chars.next()),
            c => path.push(c),
        }
    }
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_directories() {
        for (text, path) in [("/a:/b", "/a"), ("/a\\:b:/c", "/a:b"), ("/a\\\\b", "/a\\b"), ("", "")] {
            assert_eq!(first(text), Path::new(path), "{text}");
        }
    }
}
