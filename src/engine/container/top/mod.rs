//! What `top` shows of a container's processes.
//!
//! ```text
//! mod      which columns, which processes         columns  podman's descriptors and ps(1)'s fields, one line each
//! accounts names of the container's ids            ps       ps(1)'s own options (`aux`, `-ef`, `-eo pid,args`)
//! ```

mod accounts;
mod columns;
mod ps;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::lifecycle;
use super::processes::{self, Stat, Status, TICKS};
use super::store::Container;
use crate::error::{Error, Kind, Result};
use crate::state::paths::Dirs;
use crate::userns::IdMaps;
use accounts::Accounts;
use columns::Column;

/// Headings and rows.
#[derive(Debug)]
pub(crate) struct Listing {
    pub headings: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// One process and what its columns are made from.
struct Row<'a> {
    stat: Stat,
    status: Status,
    host: &'a Host,
}

/// What all rows share.
struct Host {
    since_boot: Duration,
    /// Bytes of memory of the machine.
    memory: u64,
    /// Which of the numbers of a process is the one in the container.
    level: usize,
    /// Host number → number in the container.
    inner: std::collections::BTreeMap<i32, i32>,
    /// Of the container's user namespace, as the kernel tells it.
    maps: IdMaps,
    accounts: Accounts,
}

/// The processes of a container in the columns that `words` name (Podman's default where there are none).
pub(crate) fn top(dirs: &Dirs, container: &Container, words: &[String]) -> Result<Listing> {
    let columns = ps::columns(words)?;
    let state = container.state(dirs)?;
    if lifecycle::init(&state).is_none() || !state.status.is_up() {
        return Err(Error::new("top can only be used on running containers").with_kind(Kind::Conflict));
    }
    let init = state.pid;
    let level = Status::read(init).map_or(0, |status| status.pids.len().saturating_sub(1));
    let pairs = processes::of(init)?.into_iter().filter_map(|stat| Some((Status::read(stat.pid)?, stat)));
    let pairs: Vec<(Status, Stat)> = pairs.collect();
    let inner = |status: &Status, stat: &Stat| status.pids.get(level).copied().unwrap_or(stat.pid);
    let now = clock_gettime(ClockId::Boottime);
    let host = Host {
        since_boot: Duration::new(
            now.tv_sec.try_into().unwrap_or_default(),
            now.tv_nsec.try_into().unwrap_or_default(),
        ),
        memory: super::stats::machine_memory(),
        level,
        inner: pairs.iter().map(|(status, stat)| (stat.pid, inner(status, stat))).collect(),
        maps: IdMaps::of_process(init)?,
        accounts: Accounts::read(&container.config()?)?,
    };
    let mut rows: Vec<Row<'_>> = pairs.into_iter().map(|(status, stat)| Row { stat, status, host: &host }).collect();
    rows.sort_by_key(Row::pid);
    Ok(Listing {
        headings: columns.iter().map(|(_, heading)| heading.clone()).collect(),
        rows: rows
            .iter()
            .map(|row| columns.iter().map(|(column, _): &(&Column, String)| (column.value)(row)).collect())
            .collect(),
    })
}

impl Row<'_> {
    fn pid(&self) -> i32 {
        self.host.inner.get(&self.stat.pid).copied().unwrap_or(self.stat.pid)
    }

    /// 0 for a process whose parent is not in the container.
    fn parent(&self) -> i32 {
        self.host.inner.get(&self.stat.parent).copied().unwrap_or(0)
    }

    fn elapsed(&self) -> Duration {
        self.host.since_boot.saturating_sub(ticks(self.stat.start))
    }

    /// Percent of one processor since the process began.
    fn cpu(&self) -> f64 {
        let elapsed = self.elapsed().as_secs_f64();
        if elapsed > 0.0 { ticks(self.stat.own_ticks).as_secs_f64() / elapsed * 100.0 } else { 0.0 }
    }

    fn words(&self) -> String {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", self.stat.pid)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ");
        // A process that has ended, or one of the kernel's.
        if text.is_empty() { format!("[{}]", self.stat.comm) } else { text }
    }
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(1000 / TICKS))
}
