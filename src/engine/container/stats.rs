//! What a running container uses: from its cgroup where it has one (cgroups(7), version 2), else summed up over its processes
//! in /proc; network counters from its network namespace.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::lifecycle;
use super::processes::{self, Stat, TICKS};
use super::store::Container;
use crate::error::Result;
use crate::monitor::state::State;
use crate::network::mode::Mode;
use crate::state::paths::Dirs;

/// One look at a container.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub id: String,
    pub name: String,
    /// `None` when it does not run: then everything else is zero.
    pub started: Option<Timestamp>,
    pub taken: Timestamp,
    pub cpu: Duration,
    /// Bytes.
    pub memory: u64,
    /// Bytes; the machine's memory where the container has no limit of its own.
    pub memory_limit: u64,
    /// Bytes received and sent; `None` where the container shares a network with others.
    pub network: Option<(u64, u64)>,
    /// Bytes read from and written to block devices.
    pub block: (u64, u64),
    /// Processes and threads.
    pub tasks: u64,
}

impl Sample {
    /// Percent of one processor since `earlier`, or since the container was started.
    pub(crate) fn cpu_percent(&self, earlier: Option<&Self>) -> f64 {
        let earlier = earlier.filter(|earlier| earlier.started == self.started && earlier.cpu <= self.cpu);
        let (used, since) = match earlier {
            Some(earlier) => (self.cpu.saturating_sub(earlier.cpu), Some(earlier.taken)),
            None => (self.cpu, self.started),
        };
        let elapsed = since.map_or(0.0, |since| self.taken.duration_since(since).as_secs_f64());
        if elapsed > 0.0 { used.as_secs_f64() / elapsed * 100.0 } else { 0.0 }
    }

    pub(crate) fn memory_percent(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
        let percent = self.memory as f64 / self.memory_limit.max(1) as f64 * 100.0;
        if self.memory_limit == 0 { 0.0 } else { percent }
    }
}

/// Looks at the container.
pub(crate) fn sample(dirs: &Dirs, container: &Container) -> Result<Sample> {
    let state = container.state(dirs)?;
    let mut sample = Sample {
        id: container.record.id.clone(),
        name: container.record.name.clone(),
        taken: Timestamp::now(),
        ..Sample::default()
    };
    if lifecycle::init(&state).is_none() {
        return Ok(sample);
    }
    sample.started = state.started_at;
    sample.memory_limit = machine_memory();
    if !from_cgroup(&state, &mut sample) {
        from_processes(&processes::of(state.pid)?, &mut sample);
    }
    let config = container.config()?;
    if !matches!(config.network, Mode::Host | Mode::Container(_)) {
        sample.network = fs::read_to_string(format!("/proc/{}/net/dev", state.pid)).ok().map(|text| traffic(&text));
    }
    Ok(sample)
}

/// Fills in what the container's cgroup counts; `false` where it has none, or one that does not count.
fn from_cgroup(state: &State, sample: &mut Sample) -> bool {
    let Some(path) = state.cgroup.as_deref() else { return false };
    let read = |file: &str| fs::read_to_string(path.join(file)).ok();
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    // The controllers may be there in part: what is missing is summed up instead.
    let (Some(cpu), Some(memory)) = (read("cpu.stat"), number("memory.current")) else { return false };
    sample.cpu = Duration::from_micros(keyed(&cpu).get("usage_usec").copied().unwrap_or_default());
    // As Docker and Podman: without the page cache that the kernel would give up first.
    let inactive = read("memory.stat").and_then(|text| keyed(&text).get("inactive_file").copied());
    sample.memory = memory.saturating_sub(inactive.unwrap_or_default());
    if let Some(limit) = number("memory.max") {
        sample.memory_limit = limit.min(sample.memory_limit);
    }
    sample.block = match read("io.stat") {
        Some(text) => devices(&text),
        None => processes::of(state.pid).map(|all| block_io(&all)).unwrap_or_default(),
    };
    sample.tasks = number("pids.current").unwrap_or_else(|| tasks(path));
    true
}

/// Without the pids controller: the threads that are listed.
fn tasks(cgroup: &Path) -> u64 {
    fs::read_to_string(cgroup.join("cgroup.threads")).map_or(0, |text| text.lines().count() as u64)
}

/// Sums over processes. Those that have ended count as far as a living one waited for them; what processes share in memory
/// is divided among them (PSS).
fn from_processes(all: &[Stat], sample: &mut Sample) {
    let ticks: u64 = all.iter().map(|stat| stat.own_ticks + stat.child_ticks).sum();
    sample.cpu = Duration::from_millis(ticks.saturating_mul(1000 / TICKS));
    sample.tasks = all.iter().map(|stat| stat.threads).sum();
    sample.memory = all.iter().map(|stat| memory(stat.pid)).sum();
    sample.block = block_io(all);
}

/// Bytes: the process's share, or all it has in memory where that cannot be read.
fn memory(pid: i32) -> u64 {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    field("smaps_rollup", "Pss:").or_else(|| field("status", "VmRSS:")).map_or(0, |kib| kib * 1024)
}

fn block_io(all: &[Stat]) -> (u64, u64) {
    let mut sum = (0, 0);
    for stat in all {
        let Ok(text) = fs::read_to_string(format!("/proc/{}/io", stat.pid)) else { continue };
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|v| v.trim().parse::<u64>().ok())
                .unwrap_or(0)
        };
        sum.0 += value("read_bytes:");
        sum.1 += value("write_bytes:");
    }
    sum
}

/// `key value` lines.
fn keyed(text: &str) -> BTreeMap<&str, u64> {
    text.lines().filter_map(|line| line.split_once(' ').and_then(|(k, v)| Some((k, v.trim().parse().ok()?)))).collect()
}

/// io.stat: `8:0 rbytes=1 wbytes=2 rios=…` for each device.
fn devices(text: &str) -> (u64, u64) {
    let sum = |name: &str| {
        text.split_ascii_whitespace().filter_map(|word| word.strip_prefix(name)?.parse::<u64>().ok()).sum()
    };
    (sum("rbytes="), sum("wbytes="))
}

/// /proc/PID/net/dev: bytes received and sent by every interface but the loopback.
fn traffic(text: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in text.lines() {
        let Some((name, counters)) = line.split_once(':') else { continue };
        let counters: Vec<u64> = counters.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect();
        if let (true, Some(received), Some(sent)) = (name.trim() != "lo", counters.first(), counters.get(8)) {
            sum.0 += received;
            sum.1 += sent;
        }
    }
    sum
}

/// Bytes of memory of this machine.
pub(crate) fn machine_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed() {
        let dev = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n\
                   tap0: 100 2 0 0 0 0 0 0 50 1 0 0 0 0 0 0\n eth1: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(traffic(dev), (101, 52));
        assert_eq!(devices("8:0 rbytes=5 wbytes=6 rios=1\n8:16 rbytes=10 wbytes=0\n"), (15, 6));
        assert_eq!(keyed("usage_usec 5\nuser_usec x\n").get("usage_usec"), Some(&5));
        assert!(machine_memory() > 1 << 20);
    }

    #[test]
    fn percentages() {
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        let sample = |taken, millis| Sample {
            started: Some(at(100)),
            taken: at(taken),
            cpu: Duration::from_millis(millis),
            memory: 50,
            memory_limit: 200,
            ..Sample::default()
        };
        let (first, second) = (sample(110, 1000), sample(112, 4000));
        assert!((first.cpu_percent(None) - 10.0).abs() < 1e-9);
        assert!((second.cpu_percent(Some(&first)) - 150.0).abs() < 1e-9);
        // Started anew in between: the earlier look says nothing.
        let restarted = Sample { started: Some(at(111)), cpu: Duration::from_millis(500), ..second };
        assert!((restarted.cpu_percent(Some(&first)) - 50.0).abs() < 1e-9);
        assert!((restarted.memory_percent() - 25.0).abs() < 1e-9);
        assert!(Sample::default().cpu_percent(None).abs() < 1e-9);
    }
}
