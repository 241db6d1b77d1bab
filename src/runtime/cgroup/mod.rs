//! Limits by cgroup v2 (cgroups(7)).
//!
//! The container's process is born in a cgroup of its own (CLONE_INTO_CGROUP). Where that lies:
//!
//! ```text
//! tree    below the nearest ancestor of the caller's own cgroup that the user may write to and that has the controllers:
//!         inside a unit of the user's service manager, an HPC job, another container
//! scope   else in a transient scope that systemd --user makes: a login session is outside the user's part of the tree
//! ```
//!
//! Where neither is there, what cannot be limited is a warning, as with Docker and Podman. Without limits nothing is made:
//! the container stays in the caller's cgroup and costs nothing.

mod scope;
mod settings;
mod tree;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode as FileMode, OFlags, open};
use serde::{Deserialize, Serialize};

use self::settings::Settings;
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

/// `--cgroups` and `--cgroup-parent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    #[serde(default)]
    pub mode: Mode,
    /// A slice of the service manager, or a path from the root of the hierarchy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// `--cgroup-manager`: the only one of the two places to try. Alone it is no wish for a cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

impl Wish {
    fn is_for_nothing(&self) -> bool {
        self.mode == Mode::Needed && self.parent.is_none()
    }
}

/// Podman's names for the places of the module's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Manager {
    /// The tree.
    Cgroupfs,
    /// A scope.
    Systemd,
}

/// Whether and where a container has a cgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Where limits ask for it.
    #[default]
    Needed,
    /// Always.
    Enabled,
    Disabled,
    /// Below the cgroup that rpod was started in, rpod's own processes beside it.
    Split,
}

/// The last part of the container's cgroup inside a scope or a split one.
const CONTAINER: &str = "container";

/// Makes the cgroup `name` with the limits of `resources`. May move this process into a scope: for the monitor.
pub(crate) fn prepare(resources: Option<&LinuxResources>, wish: &Wish, name: &str) -> Result<Cgroup> {
    let settings = resources.map(settings::settings).transpose()?.unwrap_or_default();
    if wish.mode == Mode::Disabled || settings.is_empty() && wish.is_for_nothing() {
        return Ok(Cgroup::default());
    }
    let Some((mount, own)) = tree::own_cgroup() else {
        let why = "no cgroup v2 hierarchy is mounted";
        return Ok(without(&settings, wish, why));
    };
    if wish.mode == Mode::Split {
        let dir = mount.join(own.strip_prefix("/").unwrap_or(&own));
        if !tree::is_mine(&dir) {
            return Err(Error::new(format!(
                "--cgroups=split needs a cgroup of this user's own, and {} is not",
                own.display()
            ))
            .hint("start rpod in a unit with Delegate=yes: systemd-run --user --scope -p Delegate=yes rpod run …"));
        }
        tree::clear(&dir)?;
        return make(&dir, CONTAINER, settings);
    }
    match wish.parent.as_deref() {
        Some(slice) if slice.ends_with(".slice") && !slice.contains('/') => {
            in_scope(&mount, name, Some(slice), settings)
        }
        Some(parent) => {
            let dir = mount.join(parent.trim_start_matches('/'));
            if !tree::is_mine(&dir) || parent.split('/').any(|part| part == "..") {
                return Err(Error::new(format!("--cgroup-parent {parent}: no cgroup that this user may use")).hint(
                    "it is a slice of systemd --user (NAME.slice) or the path of a cgroup that belongs to this user",
                ));
            }
            make(&dir, name, settings)
        }
        None => anywhere(&mount, &own, name, settings, wish),
    }
}

/// Directly in the tree if everything can be limited there, else in a scope, else what is possible; only in one of them
/// where that was asked for.
fn anywhere(mount: &Path, own: &Path, name: &str, settings: Settings, wish: &Wish) -> Result<Cgroup> {
    const NOT_DELEGATED: &str = "no cgroup above this process is delegated to this user";
    let direct = match wish.manager {
        Some(Manager::Systemd) => None,
        _ => tree::parent(mount, own, &settings),
    };
    if wish.manager == Some(Manager::Cgroupfs) {
        return match direct {
            Some((parent, _)) => make(&parent, name, settings),
            None => Ok(without(&settings, wish, NOT_DELEGATED)),
        };
    }
    if let Some((parent, usable)) = &direct
        && *usable == settings.len()
    {
        return make(parent, name, settings);
    }
    match (in_scope(mount, name, None, settings.clone()), direct) {
        (Ok(cgroup), _) => Ok(cgroup),
        (Err(_), Some((parent, _))) => make(&parent, name, settings),
        (Err(e), None) if wish.manager.is_some() => Ok(without(&settings, wish, &e.to_string())),
        (Err(e), None) => Ok(without(&settings, wish, &format!("{NOT_DELEGATED}, and {e}"))),
    }
}

fn in_scope(mount: &Path, name: &str, slice: Option<&str>, settings: Settings) -> Result<Cgroup> {
    let dir = scope::enter(mount, name, slice)?;
    tree::clear(&dir)?;
    make(&dir, CONTAINER, settings)
}

fn without(settings: &Settings, wish: &Wish, why: &str) -> Cgroup {
    let mut warnings: Vec<String> = settings.keys().map(|controller| warning(controller, why)).collect();
    if warnings.is_empty() && !wish.is_for_nothing() {
        warnings.push(format!("the container has no cgroup of its own: {why}"));
    }
    Cgroup { warnings, ..Cgroup::default() }
}

/// The cgroup below `container` that process `pid` is in: a program like systemd moves itself, and where controllers are
/// passed on nobody else may stay.
pub(crate) fn of_process(pid: i32, container: &Path) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let own = text.lines().find_map(|line| line.strip_prefix("0::/")).map(Path::new);
    let mount = tree::own_cgroup().map(|(mount, _)| mount);
    let path = mount.zip(own).map(|(mount, own)| mount.join(own));
    path.filter(|path| path.starts_with(container)).unwrap_or_else(|| container.to_path_buf())
}

/// Whether this process can put others into the cgroup at `path`: the kernel asks for rights over the cgroup that has both
/// below it.
pub(crate) fn is_reachable(path: &Path) -> bool {
    let Some((mount, own)) = tree::own_cgroup() else { return true };
    let own = mount.join(own.strip_prefix("/").unwrap_or(&own));
    let common = own.ancestors().find(|dir| path.starts_with(dir));
    common.is_none_or(|dir| rustix::fs::access(dir.join("cgroup.procs"), rustix::fs::Access::WRITE_OK).is_ok())
}

/// Has a process moved into a cgroup that is not reachable.
pub(crate) fn attach(path: &Path, pid: rustix::process::Pid) -> Result<()> {
    scope::attach(path, pid)
}

/// Changes the limits of the cgroup at `path`, which may be in use; answers what could not be limited.
pub(crate) fn update(path: &Path, resources: &LinuxResources) -> Result<Vec<String>> {
    let parent = path.parent().unwrap_or(path);
    let mut warnings = Vec::new();
    for (controller, files) in settings::settings(resources)? {
        match tree::pass_on(parent, &controller) {
            true => apply(path, &files, &mut warnings)?,
            false => warnings.push(lacking(parent, &controller)),
        }
    }
    Ok(warnings)
}

/// Removes a cgroup whose processes have ended, with those that were made in it. One that is gone already is as good as
/// removed.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let mut removed = fs::remove_dir(path);
    if removed.is_err() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path())?;
            }
        }
        removed = fs::remove_dir(path);
    }
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::wrap(format!("cannot remove the cgroup {}", path.display()), e))
        }
        _ => Ok(()),
    }
}

fn lacking(parent: &Path, controller: &str) -> String {
    warning(controller, &format!("{} does not have or pass on the controller", parent.display()))
}

fn apply(path: &Path, files: &std::collections::BTreeMap<String, String>, warnings: &mut Vec<String>) -> Result<()> {
    for (file, lines) in files {
        if !settings::write(path, file, lines)? {
            warnings.push(format!("{file} is not in effect: the kernel does not have it here"));
        }
    }
    Ok(())
}

fn make(parent: &Path, name: &str, mut settings: Settings) -> Result<Cgroup> {
    let mut cgroup = Cgroup::default();
    let asked = !settings.is_empty();
    settings.retain(|controller, _| {
        let passed_on = tree::pass_on(parent, controller);
        if !passed_on {
            cgroup.warnings.push(lacking(parent, controller));
        }
        passed_on
    });
    if asked && settings.is_empty() {
        return Ok(cgroup);
    }
    let path = parent.join(name);
    match fs::create_dir(&path) {
        // Left by a monitor that was killed; it is empty, or it could not be removed.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            remove(&path)?;
            fs::create_dir(&path)
        }
        result => result,
    }
    .context(|| format!("cannot make the cgroup {}", path.display()))?;
    let limited = settings.values().try_for_each(|files| apply(&path, files, &mut cgroup.warnings));
    let opened = limited.and_then(|()| {
        open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, FileMode::empty())
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let wanted = settings::settings(&resources).expect("settings");
        let mut possible = wanted.clone();
        possible.remove("cpuset");
        assert_eq!(tree::parent(&root, own, &possible), Some((user.clone(), 2)));
        let cgroup = anywhere(&root, own, "box", possible, &Wish::default()).expect("makes");
        assert_eq!(cgroup.warnings, Vec::<String>::new());
        let path = cgroup.path.expect("a path");
        assert_eq!(
            (path.clone(), fs::read_to_string(path.join("memory.max")).expect("reads")),
            (user.join("box"), "5".to_owned())
        );
        fs::remove_dir_all(&path).expect("removes");
        // Where nothing has everything, what is there is used.
        let cgroup = make(&user, "box", wanted).expect("makes");
        assert_eq!(cgroup.path, Some(user.join("box")));
        assert!(cgroup.warnings.iter().any(|w| w.starts_with("cpuset limits")), "{:?}", cgroup.warnings);
        fs::remove_dir_all(&root).expect("removes");
    }
}
