//! What `rpod info` tells about this host and this store, with Podman's names.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{container, images};
use crate::error::Result;
use crate::monitor::state::Status;
use crate::network::helper;
use crate::spec::capabilities::DEFAULT;
use crate::state::paths::Dirs;
use crate::storage::Store;
use crate::userns::{IdMaps, IdRange};

/// Programs that rpod can use, by the key `info` shows them under.
const HELPERS: &[(&str, &str)] = &[
    ("slirp4netns", "slirp4netns"),
    ("pasta", "pasta"),
    ("fuseOverlayfs", "fuse-overlayfs"),
    ("newuidmap", "newuidmap"),
    ("newgidmap", "newgidmap"),
    ("crun", "crun"),
];

/// Facts about the kernel, the machine and the user.
pub(crate) fn host(arch: &str, version: &str) -> Result<Value> {
    let uname = rustix::system::uname();
    let maps = IdMaps::for_user()?;
    let cgroup2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let mut host = json!({
        "arch": arch,
        "cgroupControllers": own_controllers(),
        "cgroupManager": "cgroupfs",
        "cgroupVersion": if cgroup2 { "v2" } else { "v1" },
        "cpus": std::thread::available_parallelism().map_or(1, usize::from),
        "distribution": distribution(),
        "eventLogger": "file",
        "hostname": uname.nodename().to_string_lossy(),
        "idMappings": { "uidmap": ranges(&maps.uids), "gidmap": ranges(&maps.gids) },
        "kernel": uname.release().to_string_lossy(),
        "linkmode": if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" },
        "logDriver": "k8s-file",
        "memFree": memory("MemFree:"),
        "memTotal": memory("MemTotal:"),
        "networkBackend": "rpod",
        "networkBackendInfo": {
            "backend": "rpod", "version": version, "path": text(&std::env::current_exe().unwrap_or_default()),
            "dns": { "version": version, "path": text(&std::env::current_exe().unwrap_or_default()) },
        },
        "ociRuntime": {
            "name": "rpod",
            "path": text(&std::env::current_exe().unwrap_or_default()),
            "version": format!("rpod version {version}"),
        },
        "os": std::env::consts::OS,
        "remoteSocket": { "exists": false, "path": "" },
        "rootlessNetworkCmd": helper::usual(),
        "security": security(),
        "serviceIsRemote": false,
        "swapFree": memory("SwapFree:"),
        "swapTotal": memory("SwapTotal:"),
        "uptime": uptime(),
        "variant": "",
    });
    for (key, program) in HELPERS {
        let executable = find_program(program).map_or_else(String::new, |path| text(&path));
        host[*key] = json!({ "executable": executable });
    }
    Ok(host)
}

/// Where things are kept, and how many there are.
pub(crate) fn store(dirs: &Dirs, store: &Store) -> Result<Value> {
    let containers = container::store::list(dirs)?;
    let mut running = 0;
    for container in &containers {
        running += usize::from(container.state(dirs)?.status == Status::Running);
    }
    let (images, _damaged) = images::list(store)?;
    let file_system = rustix::fs::statvfs(&dirs.data).ok();
    let bytes = |blocks: fn(&rustix::fs::StatVfs) -> u64| file_system.as_ref().map(|fs| blocks(fs) * fs.f_frsize);
    Ok(json!({
        "containerStore": {
            "number": containers.len(),
            "paused": 0,
            "running": running,
            "stopped": containers.len() - running,
        },
        "configFile": "",
        "graphDriverName": store.driver()?.to_string(),
        "graphOptions": {},
        "graphRoot": text(&dirs.data),
        "graphRootAllocated": bytes(|fs| fs.f_blocks),
        "graphRootUsed": bytes(|fs| fs.f_blocks - fs.f_bfree),
        "hostRoot": text(&dirs.host),
        "imageCopyTmpDir": text(&dirs.data.join("staging")),
        "imageStore": { "number": images.len() },
        "runRoot": text(&dirs.runtime),
        "transientStore": false,
        "volumePath": text(&dirs.data.join("volumes")),
    }))
}

/// JSON has no bytes: `json!` would panic at a path that is not UTF-8.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn ranges(ranges: &[IdRange]) -> Value {
    ranges.iter().map(|r| json!({ "container_id": r.container, "host_id": r.host, "size": r.size })).collect()
}

/// The controllers of the cgroup that this process is in: limits can be set only for them.
fn own_controllers() -> Vec<String> {
    let own = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let controllers = read_to_string(Path::new("/sys/fs/cgroup").join(path).join("cgroup.controllers"));
    controllers.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn distribution() -> Value {
    let text = read_to_string("/etc/os-release").or_else(|_| read_to_string("/usr/lib/os-release")).unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
    };
    let mut facts = Map::new();
    facts.insert("distribution".into(), value("ID").unwrap_or_else(|| "unknown".into()).into());
    facts.insert("version".into(), value("VERSION_ID").unwrap_or_else(|| "unknown".into()).into());
    for (key, name) in [("codename", "VERSION_CODENAME"), ("variant", "VARIANT_ID")] {
        if let Some(value) = value(name) {
            facts.insert(key.into(), value.into());
        }
    }
    Value::Object(facts)
}

fn memory(key: &str) -> u64 {
    let text = read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes =
        text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn security() -> Value {
    let enabled = |file: &str, yes: &str| read_to_string(file).is_ok_and(|text| text.trim_end() == yes);
    let seccomp = read_to_string("/proc/sys/kernel/seccomp/actions_avail").is_ok();
    json!({
        "capabilities": DEFAULT.names().iter().map(|name| format!("CAP_{name}")).collect::<Vec<_>>().join(","),
        "apparmorEnabled": enabled("/sys/module/apparmor/parameters/enabled", "Y"),
        "rootless": !rustix::process::geteuid().is_root(),
        "seccompEnabled": seccomp,
        "selinuxEnabled": Path::new("/sys/fs/selinux/enforce").exists(),
    })
}

fn uptime() -> String {
    let text = read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = text.split(' ').next().and_then(|s| s.parse().ok()).unwrap_or(0.0);
    let (hours, minutes) = ((seconds / 3600.0).floor(), (seconds % 3600.0 / 60.0).floor());
    format!("{hours}h {minutes}m {:.2}s", seconds % 60.0)
}

/// On PATH, or where distributions keep what is not meant for everybody's PATH.
fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from);
    let mut candidates = std::env::split_paths(&path).chain(usual).filter(|d| d.is_absolute()).map(|d| d.join(name));
    candidates.find(|file| file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0))
}
