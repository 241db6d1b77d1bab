//! The mounts of every container: /proc, /dev and what is in it, /sys. The device nodes and links in /dev are the
//! runtime's (OCI runtime spec, "Default Devices").

use std::path::PathBuf;

use super::settings::{Mount, Namespace, Settings};

/// Default mounts and asked-for ones, parents before children; an asked-for mount replaces the default one at its place.
pub(super) fn all(settings: &Settings) -> Vec<Mount> {
    let asked = |path: &str| settings.mounts.iter().any(|m| m.destination == path);
    let mut mounts: Vec<Mount> = defaults(settings)
        .into_iter()
        .filter(|mount| !asked(&mount.destination))
        // A /dev of the user's own choosing is taken as it is.
        .filter(|mount| !(mount.destination.starts_with("/dev/") && asked("/dev")))
        .filter(|mount| !(mount.destination.starts_with("/sys/") && asked("/sys")))
        .chain(settings.mounts.iter().cloned())
        .collect();
    // Stable: mounts of one depth stay in the order they were asked for.
    mounts.sort_by_key(|mount| depth(&mount.destination));
    mounts
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

fn defaults(settings: &Settings) -> Vec<Mount> {
    let namespaces = &settings.namespaces;
    // Group 5 is tty; where it is not mapped the mount would fail.
    let tty_mapped =
        settings.gid_map.is_empty() || settings.gid_map.iter().any(|m| m.container <= 5 && 5 - m.container < m.size);
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if tty_mapped {
        pts.push("gid=5");
    }
    let shm_size = format!("size={}", settings.shm_size);
    let mut dev = vec!["nosuid", "strictatime", "mode=755", "size=65536k"];
    let mut shm = vec!["nosuid", "noexec", "nodev", "mode=1777", &shm_size];
    if settings.read_only_dev {
        dev.push("ro");
        shm.push("ro");
    }
    let mut mounts = Vec::with_capacity(7);
    mounts.push(if namespaces.pid == Namespace::Host {
        bind("/proc", &["rbind", "nosuid", "noexec", "nodev"])
    } else {
        filesystem("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])
    });
    mounts.push(filesystem("/dev", "tmpfs", "tmpfs", &dev));
    mounts.push(filesystem("/dev/pts", "devpts", "devpts", &pts));
    if namespaces.ipc == Namespace::Host {
        // No /dev/mqueue: the host need not have one, and another namespace's cannot be mounted.
        mounts.push(bind("/dev/shm", &["bind", "nosuid", "noexec", "nodev"]));
    } else {
        match &namespaces.ipc {
            _ if settings.no_shm => {}
            // Another container's, found when this one starts.
            Namespace::Join(of) if !of.is_absolute() => {
                let options = ["bind", "rprivate", "nosuid", "noexec", "nodev"];
                mounts.push(filesystem("/dev/shm", "bind", &of.to_string_lossy(), &options));
            }
            _ => mounts.push(filesystem("/dev/shm", "tmpfs", "shm", &shm)),
        }
        mounts.push(filesystem("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
    }
    mounts.extend(sys(settings));
    mounts
}

fn sys(settings: &Settings) -> [Mount; 2] {
    let access = if settings.writable_sys { "rw" } else { "ro" };
    // sysfs shows a network namespace, so the kernel lets only the user namespace that owns it mount one.
    let sysfs = if settings.namespaces.network == Namespace::New {
        filesystem("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access])
    } else {
        bind("/sys", &["rprivate", "nosuid", "noexec", "nodev", access, "rbind"])
    };
    let access = if settings.writable_cgroup { "rw" } else { access };
    let cgroup = if settings.namespaces.cgroup == Namespace::New {
        filesystem("/sys/fs/cgroup", "cgroup", "cgroup", &["rprivate", "nosuid", "noexec", "nodev", "relatime", access])
    } else {
        bind("/sys/fs/cgroup", &["rprivate", "nosuid", "noexec", "nodev", access, "rbind"])
    };
    [sysfs, cgroup]
}

fn filesystem(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: kind.to_owned(),
        source: PathBuf::from(source),
        options: options.iter().map(|o| (*o).to_owned()).collect(),
    }
}

/// The host's file system of the same place.
fn bind(path: &str, options: &[&str]) -> Mount {
    filesystem(path, "bind", path, options)
}
