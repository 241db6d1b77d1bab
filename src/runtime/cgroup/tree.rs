//! The part of the cgroup tree that belongs to the user.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::settings::Settings;
use crate::error::{Context, Result};

/// The leaf that rpod's own processes go to where the container's cgroup lies beside them: a cgroup that passes controllers
/// on has no processes of its own (cgroups(7), "no internal processes").
const SUPERVISOR: &str = "supervisor";

/// The nearest cgroup, from the caller's own upwards, below which the user may make others and move its processes there,
/// and how many of the wanted controllers it has. One that has more of them is better than one that is near.
pub(super) fn parent(mount: &Path, own: &Path, settings: &Settings) -> Option<(PathBuf, usize)> {
    let own = mount.join(own.strip_prefix("/").unwrap_or(own));
    // Delegation ends at the first directory that belongs to somebody else.
    let mine: Vec<&Path> =
        own.ancestors().take_while(|dir| dir.starts_with(mount)).take_while(|dir| is_mine(dir)).collect();
    let usable = |dir: &Path| {
        let has = words(&dir.join("cgroup.controllers"));
        // Controllers cannot be passed on by a cgroup that has processes of its own (the root excepted).
        let passes = words(&dir.join("cgroup.subtree_control"));
        let empty = dir == mount || fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|pids| pids.is_empty());
        settings.keys().filter(|name| passes.contains(name) || has.contains(name) && empty).count()
    };
    // Of equals the last counts: the nearest.
    mine.into_iter().rev().map(|dir| (dir.to_path_buf(), usable(dir))).max_by_key(|(_, usable)| *usable)
}

/// Whether the user may make cgroups below this one and move processes there.
pub(super) fn is_mine(dir: &Path) -> bool {
    let writable = |path: &Path| access(path, Access::WRITE_OK).is_ok();
    writable(dir) && writable(&dir.join("cgroup.procs")) && writable(&dir.join("cgroup.subtree_control"))
}

/// Whether children of `parent` have the controller, turned on now if need be.
pub(super) fn pass_on(parent: &Path, controller: &str) -> bool {
    let file = parent.join("cgroup.subtree_control");
    words(&file).iter().any(|known| known == controller)
        || words(&parent.join("cgroup.controllers")).iter().any(|known| known == controller)
            && fs::write(&file, format!("+{controller}")).is_ok()
}

/// Moves every process of the cgroup `dir` into a leaf below it, so that it can have other children.
pub(super) fn clear(dir: &Path) -> Result<()> {
    let leaf = dir.join(SUPERVISOR);
    match fs::create_dir(&leaf) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(e).context(|| format!("cannot make the cgroup {}", leaf.display()));
        }
        _ => {}
    }
    let own = dir.join("cgroup.procs");
    // Processes may come while others are moved.
    for _ in 0..100 {
        let pids = fs::read_to_string(&own).context(|| format!("cannot read {}", own.display()))?;
        if pids.trim().is_empty() {
            break;
        }
        for pid in pids.split_ascii_whitespace() {
            match fs::write(leaf.join("cgroup.procs"), pid) {
                // It has ended meanwhile.
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                result => result.context(|| format!("cannot move process {pid} to {}", leaf.display()))?,
            }
        }
    }
    Ok(())
}

fn words(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Where cgroup2 is mounted, and this process's cgroup in it.
pub(super) fn own_cgroup() -> Option<(PathBuf, PathBuf)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    Some((mount_point(&mounts)?, groups.lines().find_map(|line| line.strip_prefix("0::")).map(PathBuf::from)?))
}

fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        // Octal escapes stand for blanks, which nobody puts in this path.
        (after.split(' ').next()? == "cgroup2").then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_is_found_where_it_is() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mount_point("22 27 0:21 / /proc rw - proc proc rw\n"), None);
    }
}
