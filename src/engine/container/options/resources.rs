//! cgroup limits as typed → [`Resources`], with Podman's rules about what goes together.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::limits;
use super::values::size;
use crate::error::{Context, Error, Result};
use crate::runtime::cgroup::{Mode, Wish};
use crate::spec::settings::{BlockDevice, CPU_PERIOD, Resources, Throttle};

/// The flags together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags<'a> {
    pub memory: Option<&'a str>,
    pub memory_swap: Option<&'a str>,
    pub memory_reservation: Option<&'a str>,
    pub memory_swappiness: Option<i64>,
    pub cpus: Option<f64>,
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<u64>,
    pub cpu_shares: Option<u64>,
    pub cpu_rt_period: Option<u64>,
    pub cpu_rt_runtime: Option<i64>,
    pub cpuset_cpus: Option<&'a str>,
    pub cpuset_mems: Option<&'a str>,
    pub pids: Option<i64>,
    pub oom_kill_disable: bool,
    pub blkio_weight: Option<u16>,
    pub blkio_weight_device: &'a [String],
    pub read_bps: &'a [String],
    pub write_bps: &'a [String],
    pub read_iops: &'a [String],
    pub write_iops: &'a [String],
    pub conf: &'a [String],
}

/// What is limited, and for stderr what cgroup v2 has no setting for.
pub(crate) fn resources(flags: Flags<'_>) -> Result<(Resources, Vec<String>)> {
    let mut ignored = Vec::new();
    for (given, option) in [
        (flags.memory_swappiness.is_some_and(|value| value != -1), "--memory-swappiness"),
        (flags.cpu_rt_period.is_some_and(|value| value != 0), "--cpu-rt-period"),
        (flags.cpu_rt_runtime.is_some_and(|value| value != 0), "--cpu-rt-runtime"),
        (flags.oom_kill_disable, "--oom-kill-disable"),
    ] {
        if given {
            ignored.push(format!("{option} is not in effect: cgroup v2 has no such setting"));
        }
    }
    if let Some(value) = flags.memory_swappiness.filter(|value| !(-1..=100).contains(value)) {
        return Err(Error::new(format!("invalid value: {value}, valid memory swappiness range is 0-100")));
    }
    for (option, given) in [("--cpu-period", flags.cpu_period.is_some()), ("--cpu-quota", flags.cpu_quota.is_some())] {
        if given && flags.cpus.is_some_and(|cpus| cpus != 0.0) {
            return Err(Error::new(format!("{option} and --cpus cannot be set together")));
        }
    }
    let from_cpus = flags.cpus.map_or(Ok(None), limits::cpu_quota)?;
    let mut resources = Resources {
        cpu_quota: from_cpus.or(flags.cpu_quota.filter(|quota| *quota != 0)),
        cpu_period: if from_cpus.is_some() { Some(CPU_PERIOD) } else { flags.cpu_period.filter(|period| *period != 0) },
        cpu_shares: flags.cpu_shares.filter(|shares| *shares != 0),
        cpuset_cpus: flags.cpuset_cpus.map(|list| number_list("cpuset-cpus", list)).transpose()?.flatten(),
        cpuset_mems: flags.cpuset_mems.map(|list| number_list("cpuset-mems", list)).transpose()?.flatten(),
        pids: flags.pids.map_or(Ok(None), limits::pids)?,
        blkio_weight: flags.blkio_weight.filter(|weight| *weight != 0).map(weight).transpose()?,
        unified: flags.conf.iter().map(|conf| unified(conf)).collect::<Result<_>>()?,
        ..Resources::default()
    };
    memory(flags, &mut resources)?;
    for text in flags.blkio_weight_device {
        let (device, value) = device_value(text)?;
        let value = value.parse().map_err(|_| bad_device(text))?;
        resources.blkio_weight_devices.push((device, weight(value)?));
    }
    for (texts, kind) in [
        (flags.read_bps, Throttle::ReadBytes),
        (flags.write_bps, Throttle::WriteBytes),
        (flags.read_iops, Throttle::ReadOperations),
        (flags.write_iops, Throttle::WriteOperations),
    ] {
        for text in texts {
            let (device, value) = device_value(text)?;
            let bytes = matches!(kind, Throttle::ReadBytes | Throttle::WriteBytes);
            let rate = if bytes { size(value).ok() } else { value.parse().ok() };
            let rate = rate.filter(|rate| *rate > 0).ok_or_else(|| bad_device(text))?;
            resources.throttles.push((kind, device, rate));
        }
    }
    Ok((resources, ignored))
}

fn memory(flags: Flags<'_>, resources: &mut Resources) -> Result<()> {
    let bytes = |option: &str, text: &str| -> Result<Option<i64>> {
        let bytes = size(text).map_err(|e| Error::wrap(format!("invalid value for {option}"), e))?;
        Ok(i64::try_from(bytes).ok().filter(|bytes| *bytes > 0))
    };
    let limit = flags.memory.map_or(Ok(None), limits::memory)?;
    let reservation = flags.memory_reservation.map_or(Ok(None), |text| bytes("memory-reservation", text))?;
    let swap = match flags.memory_swap {
        None | Some("") => limit.map(|limit| limit.saturating_mul(2)),
        Some("-1") => Some(-1),
        Some(text) => bytes("memory-swap", text)?,
    };
    if let Some(both) = swap.filter(|both| *both > 0) {
        match limit {
            None => {
                return Err(Error::new(
                    "you should always set the memory limit when using memoryswap limit, see usage",
                ));
            }
            Some(limit) if both < limit => {
                return Err(Error::new("minimum memoryswap limit should be larger than memory limit, see usage"));
            }
            Some(_) => {}
        }
    }
    if let (Some(low), Some(limit)) = (reservation, limit)
        && low > limit
    {
        return Err(Error::new("minimum memory limit can not be less than memory reservation limit, see usage"));
    }
    (resources.memory, resources.memory_swap, resources.memory_reservation) = (limit, swap, reservation);
    Ok(())
}

/// `0-3,5`.
fn number_list(option: &str, text: &str) -> Result<Option<String>> {
    let number = |text: &str| text.parse::<u16>().ok();
    let sound = text.split(',').all(|part| match part.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => number(part).is_some(),
    });
    match text {
        "" => Ok(None),
        _ if sound => Ok(Some(text.to_owned())),
        _ => Err(Error::new(format!("invalid value for {option}: {text:?}: numbers and ranges such as 0-3,5"))),
    }
}

fn weight(weight: u16) -> Result<u16> {
    if (10..=1000).contains(&weight) {
        return Ok(weight);
    }
    Err(Error::new(format!("invalid blkio weight {weight}: range of blkio weight is from 10 to 1000")))
}

fn bad_device(text: &str) -> Error {
    Error::new(format!("bad format: {text:?}")).hint("it is PATH:VALUE, such as /dev/sda:1mb")
}

/// `PATH:VALUE` of a block device.
fn device_value(text: &str) -> Result<(BlockDevice, &str)> {
    let (path, value) =
        text.rsplit_once(':').filter(|(path, _)| path.starts_with("/dev/")).ok_or_else(|| bad_device(text))?;
    let meta = std::fs::metadata(path).context(|| format!("cannot examine {path}"))?;
    if !meta.file_type().is_block_device() {
        return Err(Error::new(format!("{path} is not a block device")));
    }
    let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    Ok((BlockDevice { major, minor }, value))
}

/// `--cgroup-conf`: a file of the container's cgroup and its value.
fn unified(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((file, value)) if file.contains('.') && !file.contains('/') => Ok((file.to_owned(), value.to_owned())),
        _ => Err(Error::new(format!(
            "invalid value for cgroup-conf: {text:?}: it is FILE=VALUE, such as memory.high=1073741824"
        ))),
    }
}

/// `--cgroups` and `--cgroup-parent`.
pub(crate) fn cgroup(mode: Option<&str>, parent: Option<&str>) -> Result<Wish> {
    let mode = match mode {
        None | Some("") => Mode::Needed,
        // rpod's monitor is in no container's cgroup.
        Some("enabled" | "no-conmon") => Mode::Enabled,
        Some("disabled") => Mode::Disabled,
        Some("split") => Mode::Split,
        Some(other) => {
            return Err(Error::new(format!("invalid cgroup mode {other:?}: enabled, disabled, no-conmon or split")));
        }
    };
    let parent = parent.filter(|parent| !parent.is_empty()).map(ToOwned::to_owned);
    if parent.is_some() && matches!(mode, Mode::Disabled | Mode::Split) {
        return Err(Error::new("--cgroup-parent cannot be used with --cgroups=disabled or --cgroups=split"));
    }
    Ok(Wish { mode, parent, manager: None })
}

/// `--device-cgroup-rule`: needs a BPF program that only the machine's root may attach.
pub(crate) fn device_rules(rules: &[String]) -> Result<()> {
    match rules.first() {
        None => Ok(()),
        Some(rule) if rule.split(' ').count() != 3 => Err(Error::new(format!(
            "invalid device cgroup rule requires type, major:Minor, and access rules: {rule:?}"
        ))),
        Some(rule) if !["a ", "b ", "c "].iter().any(|kind| rule.starts_with(kind)) => {
            let kind = rule.split(' ').next().unwrap_or_default();
            Err(Error::new(format!("invalid device type in device-access-add: {kind}")))
        }
        Some(_) => Err(Error::new("device cgroup rules are not supported in rootless mode or in a user namespace")
            .hint("a container here can only open devices that this user can open, and that --device gave it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_together() {
        let memory = Flags { memory: Some("100"), ..Flags::default() };
        let read = |flags| resources(flags).map(|(resources, _)| resources);
        let shown = |flags| read(flags).expect_err("refused").to_string();
        assert_eq!(read(memory).map(|r| (r.memory, r.memory_swap)).ok(), Some((Some(100), Some(200))));
        assert_eq!(read(Flags { memory_swap: Some("-1"), ..memory }).map(|r| r.memory_swap).ok(), Some(Some(-1)));
        let (null, nonsense, outside) = (["/dev/null:1mb".to_owned()], ["x".to_owned()], ["../x=1".to_owned()]);
        for (flags, message) in [
            (Flags { memory_swap: Some("50"), ..memory }, "minimum memoryswap limit should be larger"),
            (Flags { memory_swap: Some("50"), ..Flags::default() }, "you should always set the memory limit"),
            (Flags { memory_reservation: Some("101"), ..memory }, "minimum memory limit can not be less"),
            (Flags { cpus: Some(1.0), cpu_quota: Some(5), ..Flags::default() }, "--cpu-quota and --cpus cannot"),
            (Flags { cpus: Some(1.0), cpu_period: Some(5), ..Flags::default() }, "--cpu-period and --cpus cannot"),
            (Flags { cpuset_cpus: Some("3-1"), ..Flags::default() }, "invalid value for cpuset-cpus"),
            (Flags { cpuset_mems: Some("a"), ..Flags::default() }, "invalid value for cpuset-mems"),
            (Flags { blkio_weight: Some(5), ..Flags::default() }, "invalid blkio weight 5"),
            (Flags { read_bps: &null, ..Flags::default() }, "/dev/null is not a block device"),
            (Flags { read_bps: &nonsense, ..Flags::default() }, "bad format: \"x\""),
            (Flags { conf: &outside, ..Flags::default() }, "invalid value for cgroup-conf"),
            (Flags { memory_swappiness: Some(101), ..Flags::default() }, "invalid value: 101"),
        ] {
            let error = shown(flags);
            assert!(error.starts_with(message), "{error}");
        }
        let (_, ignored) =
            resources(Flags { oom_kill_disable: true, cpu_rt_period: Some(5), ..Flags::default() }).expect("read");
        assert_eq!(ignored.len(), 2);
        assert_eq!(
            read(Flags { cpus: Some(0.5), ..Flags::default() }).map(|r| (r.cpu_quota, r.cpu_period)).ok(),
            Some((Some(50_000), Some(100_000)))
        );
        assert!(cgroup(Some("split"), Some("a.slice")).is_err() && cgroup(Some("x"), None).is_err());
    }
}
