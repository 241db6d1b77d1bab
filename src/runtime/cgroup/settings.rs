//! The Spec's resources in the terms of cgroup v2 (kernel, Documentation/admin-guide/cgroup-v2.rst).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use crate::error::{Error, Result};

/// Controller → file → lines, each of which is written by itself.
pub(super) type Settings = BTreeMap<String, BTreeMap<String, String>>;

/// BFQ's own weight has the Spec's range; the general one another.
const BFQ_WEIGHT: &str = "io.bfq.weight";
const WEIGHT: &str = "io.weight";

pub(super) fn settings(resources: &LinuxResources) -> Result<Settings> {
    let mut settings = Settings::new();
    let mut set = |file: &str, value: String| -> Result<()> {
        let controller = file.split_once('.').map_or("", |(controller, _)| controller);
        if controller.is_empty() || file.contains('/') {
            return Err(Error::new(format!("{file:?} is not a cgroup file")));
        }
        let lines = settings.entry(controller.to_owned()).or_default().entry(file.to_owned()).or_default();
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.push_str(&value);
        Ok(())
    };
    let files = resources.memory().iter().flat_map(memory).chain(resources.cpu().iter().flat_map(cpu));
    for (file, value) in files.chain(resources.block_io().iter().flat_map(block_io)) {
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

fn block_io(io: &LinuxBlockIo) -> Vec<(&'static str, String)> {
    let mut files = Vec::new();
    files.extend(io.weight().filter(|weight| *weight != 0).map(|weight| (BFQ_WEIGHT, weight.to_string())));
    for device in io.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            files.push((BFQ_WEIGHT, format!("{}:{} {weight}", device.major(), device.minor())));
        }
    }
    let mut throttle = |devices: &Option<Vec<LinuxThrottleDevice>>, key: &str| {
        for device in devices.iter().flatten() {
            files.push(("io.max", format!("{}:{} {key}={}", device.major(), device.minor(), device.rate())));
        }
    };
    throttle(io.throttle_read_bps_device(), "rbps");
    throttle(io.throttle_write_bps_device(), "wbps");
    throttle(io.throttle_read_iops_device(), "riops");
    throttle(io.throttle_write_iops_device(), "wiops");
    files
}

/// Writes one setting of a cgroup. `Ok(false)` where the kernel has no such file.
pub(super) fn write(dir: &Path, file: &str, lines: &str) -> Result<bool> {
    if file == BFQ_WEIGHT && !dir.join(file).exists() && dir.join(WEIGHT).exists() {
        let converted: Vec<String> = lines.lines().map(general_weight).collect();
        return write(dir, WEIGHT, &converted.join("\n"));
    }
    let path = dir.join(file);
    for line in lines.lines() {
        if let Err(e) = fs::write(&path, line) {
            if !path.exists() {
                return Ok(false);
            }
            return Err(Error::wrap(format!("cannot set {file} to {line:?} in {}", dir.display()), e));
        }
    }
    Ok(true)
}

/// 10..1000 to 1..10000, in a line that may begin with a device.
fn general_weight(line: &str) -> String {
    let (device, weight) = line.rsplit_once(' ').map_or(("", line), |(device, weight)| (device, weight));
    let weight: u64 = weight.parse().unwrap_or(100);
    let converted = 1 + (weight.clamp(10, 1000) - 10) * 9999 / 990;
    if device.is_empty() { converted.to_string() } else { format!("{device} {converted}") }
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
            "blockIO": {
                "weight": 505,
                "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 5 }, { "major": 8, "minor": 16, "rate": 6 }],
                "throttleWriteIOPSDevice": [{ "major": 8, "minor": 0, "rate": 7 }]
            },
            "unified": { "memory.high": "900" }
        }));
        let text: Vec<String> = found.iter().map(|(file, value)| format!("{file}={value}")).collect();
        assert_eq!(
            text,
            [
                "cpu.max=50000 100000",
                "cpu.weight=39",
                "cpuset.cpus=0-1",
                "io.bfq.weight=505",
                "io.max=8:0 rbps=5\n8:16 rbps=6\n8:0 wiops=7",
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
        assert_eq!((general_weight("10"), general_weight("8:0 1000")), ("1".to_owned(), "8:0 10000".to_owned()));
    }
}
