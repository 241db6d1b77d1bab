//! `HostConfig`: what this host was asked to do, as far as the plan and the record tell.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxNamespaceType, LinuxResources, Spec};
use serde_json::{Map, Value, json};

use super::bindings;
use crate::engine::container::record::{Config, Mount};
use crate::engine::container::resolve::MountKind;
use crate::engine::container::store::Container;
use crate::human;
use crate::network::helper;
use crate::network::ports::PortMapping;
use crate::spec::capabilities::{CapSet, DEFAULT};

/// The whole object.
pub(super) fn host(container: &Container, config: &Config, ports: &[PortMapping]) -> Value {
    let record = &container.record;
    let spec = &config.spec;
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let (added, dropped) = capabilities(spec);
    let namespace = |kind, private: &str| namespace(spec, kind, private);
    let values = json!({
        "Binds": binds(config),
        "CgroupManager": "cgroupfs",
        "CgroupMode": namespace(LinuxNamespaceType::Cgroup, "private"),
        "ContainerIDFile": record.cidfile.as_deref().unwrap_or("".as_ref()),
        "LogConfig": {
            "Type": config.log.driver.as_str(),
            "Config": null,
            "Path": if config.log.driver.has_files() { config.log.file(&container.place.disk) } else { PathBuf::new() },
            "Tag": config.log.tag,
            "Size": human::size(config.log.max_size.unwrap_or(0)),
        },
        "NetworkMode": if record.network == "private" { helper::usual() } else { &record.network },
        "PortBindings": bindings(ports, &[]),
        "RestartPolicy": { "Name": record.restart.name(), "MaximumRetryCount": record.restart.times() },
        "AutoRemove": record.rm,
        "Annotations": spec.annotations(),
        "VolumesFrom": null_if_empty(&config.asked.volumes_from),
        "CapAdd": added,
        "CapDrop": dropped,
        "Dns": config.names.dns,
        "DnsOptions": config.names.options,
        "DnsSearch": config.names.search,
        "ExtraHosts": config.names.added,
        "HostsFile": config.asked.hosts_file,
        "GroupAdd": config.asked.groups,
        "IpcMode": namespace(LinuxNamespaceType::Ipc, config.asked.sharing.as_str()),
        "OomScoreAdj": spec.process().as_ref().and_then(|process| process.oom_score_adj()).unwrap_or(0),
        "PidMode": namespace(LinuxNamespaceType::Pid, "private"),
        "Privileged": config.privileged,
        "PublishAllPorts": config.asked.publish_all,
        "ReadonlyRootfs": spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
        "SecurityOpt": config.asked.security,
        "Tmpfs": tmpfs(config),
        "UTSMode": namespace(LinuxNamespaceType::Uts, "private"),
        "UsernsMode": config.asked.userns,
        "ShmSize": config.shm_size,
        "Devices": devices(&config.asked.devices),
        "Ulimits": ulimits(spec),
        "CgroupConf": resources.unified(),
    });
    let parts = [values, limits(&resources), elsewhere()];
    parts.into_iter().flat_map(|part| if let Value::Object(map) = part { map } else { Map::new() }).collect()
}

/// What other hosts and other tools have: always the same here.
fn elsewhere() -> Value {
    json!({
        "AutoRemoveImage": false,
        "VolumeDriver": "",
        "Cgroup": "",
        "Cgroups": "default",
        "Links": null,
        "Runtime": "oci",
        "ConsoleSize": [0, 0],
        "Isolation": "",
        "DiskQuota": 0,
        "KernelMemory": 0,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    })
}

pub(super) fn null_if_empty(list: &[String]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

fn binds(config: &Config) -> Vec<String> {
    config.mounts.iter().filter_map(Mount::bind).collect()
}

fn tmpfs(config: &Config) -> BTreeMap<&str, String> {
    let tmpfs = config.mounts.iter().filter(|mount| mount.kind == MountKind::Tmpfs);
    tmpfs.map(|mount| (mount.destination.as_str(), mount.options.join(","))).collect()
}

/// Against the default set, as Podman shows them.
fn capabilities(spec: &Spec) -> (Vec<String>, Vec<String>) {
    let sets = spec.process().as_ref().and_then(|process| process.capabilities().clone()).unwrap_or_default();
    let bounding: CapSet = CapSet::of_names(sets.bounding().iter().flatten().map(ToString::to_string));
    let names = |set: CapSet| set.names().into_iter().map(|name| format!("CAP_{name}")).collect();
    (names(bounding.without(DEFAULT)), names(DEFAULT.without(bounding)))
}

/// `private` (or what stands for a namespace of its own), `host`, `container:ID`, `ns:PATH`.
fn namespace(spec: &Spec, kind: LinuxNamespaceType, private: &str) -> String {
    let namespaces = spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten());
    match namespaces.into_iter().find(|namespace| namespace.typ() == kind) {
        None => "host".to_owned(),
        Some(namespace) => match namespace.path().as_ref().map(|path| path.display().to_string()) {
            None => private.to_owned(),
            Some(path) if path.starts_with("container:") => path,
            Some(path) => format!("ns:{path}"),
        },
    }
}

/// `SOURCE[:DESTINATION][:PERMISSIONS]` each.
fn devices(asked: &[String]) -> Vec<Value> {
    let device = |text: &String| {
        let parts: Vec<&str> = text.split(':').collect();
        let (inside, permissions) = match parts[..] {
            [_, inside, permissions] => (inside, permissions),
            [_, inside] if inside.starts_with('/') => (inside, "rwm"),
            [source, permissions] => (source, permissions),
            _ => (parts[0], "rwm"),
        };
        json!({ "PathOnHost": parts[0], "PathInContainer": inside, "CgroupPermissions": permissions })
    };
    asked.iter().map(device).collect()
}

fn ulimits(spec: &Spec) -> Vec<Value> {
    let limits = spec.process().iter().flat_map(|process| process.rlimits().iter().flatten());
    limits
        .into_iter()
        .map(|limit| json!({ "Name": limit.typ().to_string(), "Soft": limit.soft(), "Hard": limit.hard() }))
        .collect()
}

/// What the cgroup limits.
fn limits(resources: &LinuxResources) -> Value {
    let cpu = resources.cpu().clone().unwrap_or_default();
    let memory = resources.memory().unwrap_or_default();
    let io = resources.block_io().clone().unwrap_or_default();
    let (quota, period) = (cpu.quota().unwrap_or(0), cpu.period().unwrap_or(0));
    let nano = if period == 0 { 0 } else { quota.saturating_mul(1_000_000_000) / period.cast_signed().max(1) };
    let devices = |list: &Option<Vec<oci_spec::runtime::LinuxThrottleDevice>>| match list.as_deref() {
        None | Some([]) => Value::Null,
        Some(list) => list
            .iter()
            .map(|one| json!({ "Path": format!("{}:{}", one.major(), one.minor()), "Rate": one.rate() }))
            .collect(),
    };
    let weights = match io.weight_device().as_deref() {
        None | Some([]) => Value::Null,
        Some(list) => list
            .iter()
            .map(|one| json!({ "Path": format!("{}:{}", one.major(), one.minor()), "Weight": one.weight() }))
            .collect(),
    };
    json!({
        "CpuShares": cpu.shares().unwrap_or(0),
        "Memory": memory.limit().unwrap_or(0),
        "NanoCpus": nano,
        "CgroupParent": "",
        "BlkioWeight": io.weight().unwrap_or(0),
        "BlkioWeightDevice": weights,
        "BlkioDeviceReadBps": devices(io.throttle_read_bps_device()),
        "BlkioDeviceWriteBps": devices(io.throttle_write_bps_device()),
        "BlkioDeviceReadIOps": devices(io.throttle_read_iops_device()),
        "BlkioDeviceWriteIOps": devices(io.throttle_write_iops_device()),
        "CpuPeriod": period,
        "CpuQuota": quota,
        "CpuRealtimePeriod": cpu.realtime_period().unwrap_or(0),
        "CpuRealtimeRuntime": cpu.realtime_runtime().unwrap_or(0),
        "CpusetCpus": cpu.cpus().clone().unwrap_or_default(),
        "CpusetMems": cpu.mems().clone().unwrap_or_default(),
        "MemoryReservation": memory.reservation().unwrap_or(0),
        "MemorySwap": memory.swap().unwrap_or(0),
        "MemorySwappiness": memory.swappiness().unwrap_or(0),
        "OomKillDisable": memory.disable_oom_killer().unwrap_or(false),
        "PidsLimit": resources.pids().as_ref().map_or(0, |pids| pids.limit()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_and_capabilities_come_from_the_plan() {
        let spec: Spec = serde_json::from_value(json!({
            "ociVersion": "1.1.0",
            "process": { "cwd": "/", "user": { "uid": 0, "gid": 0 }, "capabilities": {
                "bounding": ["CAP_NET_ADMIN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
                    "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"]
            } },
            "linux": { "namespaces": [{ "type": "ipc" }, { "type": "uts", "path": "/run/x" }, { "type": "network", "path": "container:ab" }] }
        }))
        .expect("a spec");
        for (kind, wanted) in [
            (LinuxNamespaceType::Ipc, "shareable"),
            (LinuxNamespaceType::Pid, "host"),
            (LinuxNamespaceType::Uts, "ns:/run/x"),
            (LinuxNamespaceType::Network, "container:ab"),
        ] {
            assert_eq!(namespace(&spec, kind, "shareable"), wanted);
        }
        assert_eq!(capabilities(&spec), (vec!["CAP_NET_ADMIN".to_owned()], vec!["CAP_CHOWN".to_owned()]));
        let shown = devices(&["/dev/a".into(), "/dev/a:r".into(), "/dev/a:/dev/b".into(), "/dev/a:/dev/b:rw".into()]);
        let texts: Vec<_> =
            shown.iter().map(|d| format!("{} {}", d["PathInContainer"], d["CgroupPermissions"])).collect();
        assert_eq!(texts.join(",").replace('"', ""), "/dev/a rwm,/dev/a r,/dev/b rwm,/dev/b rw");
    }
}
