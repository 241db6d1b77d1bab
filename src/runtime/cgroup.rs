//! Limits by cgroup v2 (cgroups(7)), where a part of the tree belongs to the user.
//!
//! The container's cgroup is made below the nearest ancestor of the caller's own that may be written to and that can pass
//! the needed controllers on; the process is born in it (CLONE_INTO_CGROUP). What cannot be limited is a warning, as with
//! Docker and Podman. Without limits nothing is made: the container stays in the caller's cgroup and costs nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};
use rustix::fs::{Access, Mode, OFlags, access, open};

use crate::error::{Context, Error, Result};

/// Where the container's process is to be born, and what could not be limited.
#[derive(Debug, Default)]
pub(crate) struct Cgroup {
    /// The directory, for [`super::Bundle::cgroup`].
    pub fd: Option<OwnedFd>,
    /// The directory's path, to be removed with [`remove`] when the container has ended.
    pub path: Option<PathBuf>,
    pub warnings: Vec<String>,
}

/// Controller → file → value.
type Settings = BTreeMap<String, BTreeMap<String, String>>;

/// Makes the cgroup `name` with the limits of `resources`.
pub(crate) fn prepare(resources: Option<&LinuxResources>, name: &str) -> Result<Cgroup> {
    let settings = resources.map(settings).transpose()?.unwrap_or_default();
    if settings.is_empty() {
        return Ok(Cgroup::default());
    }
    match own_cgroup() {
        Some((mount, own)) => make(&mount, &own, name, settings),
        None => {
            let why = "no cgroup v2 hierarchy is mounted";
            Ok(Cgroup { warnings: settings.keys().map(|c| warning(c, why)).collect(), ..Cgroup::default() })
        }
    }
}

/// Removes a cgroup whose processes have ended. One that is gone already is as good as removed.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::wrap(format!("cannot remove the cgroup {}", path.display()), e))
        }
        _ => Ok(()),
    }
}

fn make(mount: &Path, own: &Path, name: &str, mut settings: Settings) -> Result<Cgroup> {
    let mut cgroup = Cgroup::default();
    let Some(parent) = parent(mount, own, &settings) else {
        let why = "no cgroup above this process is delegated to this user";
        cgroup.warnings = settings.keys().map(|controller| warning(controller, why)).collect();
        return Ok(cgroup);
    };
    settings.retain(|controller, _| {
        let passed_on = pass_on(&parent, controller);
        if !passed_on {
            let why = format!("{} does not have or pass on the controller", parent.display());
            cgroup.warnings.push(warning(controller, &why));
        }
        passed_on
    });
    if settings.is_empty() {
        return Ok(cgroup);
    }
    let path = parent.join(name);
    fs::create_dir(&path).context(|| format!("cannot make the cgroup {}", path.display()))?;
    let limited = settings.values().flatten().try_for_each(|(file, value)| {
        fs::write(path.join(file), value).context(|| format!("cannot set {file} to {value:?} in {}", path.display()))
    });
    let opened = limited.and_then(|()| {
        open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .context(|| format!("cannot open the cgroup {}", path.display()))
    });
    match opened {
        Ok(fd) => Ok(Cgroup { fd: Some(fd), path: Some(path), ..cgroup }),
        Err(e) => {
            // The limit that was refused is the error to tell.
            let _ = fs::remove_dir(&path);
            Err(e)
        }
    }
}

fn warning(controller: &str, why: &str) -> String {
    format!("{controller} limits are not in effect: {why}")
}

/// The nearest cgroup, from the caller's own upwards, below which the user may make others and move its processes there.
/// One that has more of the controllers is better than one that is near.
fn parent(mount: &Path, own: &Path, settings: &Settings) -> Option<PathBuf> {
    let own = mount.join(own.strip_prefix("/").unwrap_or(own));
    let writable = |dir: &&Path| {
        let writable = |path: &Path| access(path, Access::WRITE_OK).is_ok();
        writable(dir) && writable(&dir.join("cgroup.procs")) && writable(&dir.join("cgroup.subtree_control"))
    };
    // Delegation ends at the first directory that belongs to somebody else.
    let mine: Vec<&Path> = own.ancestors().take_while(|dir| dir.starts_with(mount)).take_while(writable).collect();
    let usable = |dir: &Path| {
        let has = words(&dir.join("cgroup.controllers"));
        // Controllers cannot be passed on by a cgroup that has processes of its own (the root excepted).
        let passes = words(&dir.join("cgroup.subtree_control"));
        let empty = dir == mount || fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|pids| pids.is_empty());
        settings.keys().filter(|name| passes.contains(name) || has.contains(name) && empty).count()
    };
    // Of equals the last counts: the nearest.
    mine.into_iter().rev().max_by_key(|dir| usable(dir)).map(Path::to_path_buf)
}

/// Whether children of `parent` have the controller, turned on now if need be.
fn pass_on(parent: &Path, controller: &str) -> bool {
    let file = parent.join("cgroup.subtree_control");
    words(&file).iter().any(|known| known == controller)
        || words(&parent.join("cgroup.controllers")).iter().any(|known| known == controller)
            && fs::write(&file, format!("+{controller}")).is_ok()
}

fn words(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Where cgroup2 is mounted, and this process's cgroup in it.
fn own_cgroup() -> Option<(PathBuf, PathBuf)> {
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

/// The Spec's resources in the terms of cgroup v2.
fn settings(resources: &LinuxResources) -> Result<Settings> {
    let mut settings = Settings::new();
    let mut set = |file: &str, value: String| -> Result<()> {
        let controller = file.split_once('.').map_or("", |(controller, _)| controller);
        if controller.is_empty() || file.contains('/') {
            return Err(Error::new(format!("{file:?} is not a cgroup file")));
        }
        settings.entry(controller.to_owned()).or_default().insert(file.to_owned(), value);
        Ok(())
    };
    for (file, value) in resources.memory().iter().flat_map(memory).chain(resources.cpu().iter().flat_map(cpu)) {
        set(file, value)?;
    }
    if let Some(limit) = resources.pids().map(|pids| pids.limit()) {
        set("pids.max", if limit > 0 { limit.to_string() } else { "max".to_owned() })?;
    }
    for (file, value) in resources.unified().iter().flatten() {
        set(file, value.clone())?;
    }
    Ok(settings)
}

fn memory(memory: &LinuxMemory) -> Vec<(&'static str, String)> {
    let bytes = |limit: i64| if limit < 0 { "max".to_owned() } else { limit.to_string() };
    let mut files = Vec::new();
    let limit = memory.limit().filter(|limit| *limit != 0);
    files.extend(limit.map(|limit| ("memory.max", bytes(limit))));
    files.extend(memory.reservation().filter(|low| *low != 0).map(|low| ("memory.low", bytes(low))));
    // The Spec counts memory and swap together, version 2 of cgroups swap alone.
    let swap = match (memory.swap().filter(|swap| *swap != 0), limit) {
        (Some(-1), _) => Some("max".to_owned()),
        (Some(both), Some(limit)) if both >= limit && limit > 0 => Some((both - limit).to_string()),
        _ => None,
    };
    files.extend(swap.map(|swap| ("memory.swap.max", swap)));
    files
}

fn cpu(cpu: &LinuxCpu) -> Vec<(&'static str, String)> {
    let mut files = Vec::new();
    let period = cpu.period().filter(|period| *period != 0).unwrap_or(100_000);
    match cpu.quota() {
        Some(quota) if quota > 0 => files.push(("cpu.max", format!("{quota} {period}"))),
        Some(_) => files.push(("cpu.max", format!("max {period}"))),
        None if cpu.period().is_some_and(|period| period != 0) => files.push(("cpu.max", format!("max {period}"))),
        None => {}
    }
    // 2..262144 of version 1 to 1..10000 of version 2, as the Spec's other runtimes do.
    let weight = |shares: u64| 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
    files.extend(cpu.shares().filter(|shares| *shares != 0).map(|shares| ("cpu.weight", weight(shares).to_string())));
    let list = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    files.extend(list(cpu.cpus()).map(|cpus| ("cpuset.cpus", cpus)));
    files.extend(list(cpu.mems()).map(|mems| ("cpuset.mems", mems)));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: serde_json::Value) -> Vec<(String, String)> {
        let resources: LinuxResources = serde_json::from_value(json).expect("resources");
        settings(&resources).expect("settings").into_values().flatten().collect()
    }

    #[test]
    fn resources_in_terms_of_version_two() {
        let found = parse(serde_json::json!({
            "memory": { "limit": 1000, "swap": 1500, "reservation": 10 },
            "cpu": { "quota": 50000, "period": 100000, "shares": 1024, "cpus": "0-1" },
            "pids": { "limit": 7 },
            "unified": { "memory.high": "900" }
        }));
        let text: Vec<String> = found.iter().map(|(file, value)| format!("{file}={value}")).collect();
        assert_eq!(
            text,
            [
                "cpu.max=50000 100000",
                "cpu.weight=39",
                "cpuset.cpus=0-1",
                "memory.high=900",
                "memory.low=10",
                "memory.max=1000",
                "memory.swap.max=500",
                "pids.max=7"
            ]
        );
        assert_eq!(
            parse(serde_json::json!({ "memory": { "limit": 0 }, "pids": { "limit": -1 } })),
            [("pids.max".into(), "max".into())]
        );
        let bad = serde_json::from_value(serde_json::json!({ "unified": { "../x.y": "1" } })).expect("resources");
        assert!(settings(&bad).is_err());
    }

    #[test]
    fn the_hierarchy_is_found_where_it_is() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mount_point("22 27 0:21 / /proc rw - proc proc rw\n"), None);
    }

    /// A directory tree stands in for the hierarchy: what is chosen, and what is said, does not depend on the kernel.
    #[test]
    fn limits_go_where_the_controllers_are() {
        let root = std::env::temp_dir().join(format!("rpod-cgroup-{}", std::process::id()));
        let (user, session) = (root.join("user"), root.join("user/session"));
        fs::create_dir_all(&session).expect("directories");
        for (dir, has, passes, pids) in
            [(&user, "cpu memory pids", "memory pids", ""), (&session, "memory pids", "", "1\n")]
        {
            fs::write(dir.join("cgroup.controllers"), has).expect("writes");
            fs::write(dir.join("cgroup.subtree_control"), passes).expect("writes");
            fs::write(dir.join("cgroup.procs"), pids).expect("writes");
        }
        let resources = serde_json::json!({ "memory": { "limit": 5 }, "cpu": { "cpus": "0" }, "pids": { "limit": 7 } });
        let resources: LinuxResources = serde_json::from_value(resources).expect("resources");
        let own = Path::new("/user/session");
        let wanted = settings(&resources).expect("settings");
        let mut possible = wanted.clone();
        possible.remove("cpuset");
        assert_eq!(parent(&root, own, &possible), Some(user.clone()));
        let cgroup = make(&root, own, "box", possible).expect("makes");
        assert_eq!(cgroup.warnings, Vec::<String>::new());
        let path = cgroup.path.expect("a path");
        assert_eq!(
            (path.clone(), fs::read_to_string(path.join("memory.max")).expect("reads")),
            (user.join("box"), "5".to_owned())
        );
        fs::remove_dir_all(&path).expect("removes");
        // Where nothing has everything, what is there is used.
        let cgroup = make(&root, own, "box", wanted).expect("makes");
        assert_eq!(cgroup.path, Some(user.join("box")));
        assert!(cgroup.warnings.iter().any(|w| w.starts_with("cpuset limits")), "{:?}", cgroup.warnings);
        fs::remove_dir_all(&root).expect("removes");
    }
}
