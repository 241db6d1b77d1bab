//! What is known about a container's life: written by its monitor, read by everybody.
//!
//! `state.json` says what the monitor last saw; whether that still holds is told by the monitor's lock, which ends with
//! its process however that dies (see `engine::container::store`).

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::network::ports::PortMapping;
use crate::state::file::{self, Durability};

/// The file's name in the record directory.
pub(crate) const FILE: &str = "state.json";

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Never started, or its first start failed.
    #[default]
    Created,
    /// Made, its first process waiting to become the program (`init`).
    Initialized,
    Running,
    Paused,
    /// Ended, and about to be started again by its monitor.
    Restarting,
    Exited,
}

impl Status {
    /// As `ps` and `inspect` write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Initialized => "initialized",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }

    /// It has a monitor.
    pub(crate) fn is_alive(self) -> bool {
        matches!(self, Self::Initialized | Self::Running | Self::Paused | Self::Restarting)
    }

    /// Its program runs, or will in a moment.
    pub(crate) fn is_up(self) -> bool {
        self.is_alive() && self != Self::Initialized
    }

    /// It has processes, if only one that waits.
    pub(crate) fn has_processes(self) -> bool {
        matches!(self, Self::Initialized | Self::Running | Self::Paused)
    }
}

/// A container's state; the default is that of one that was never started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub status: Status,
    /// The first process of the container as the host sees it; 0 when not running.
    #[serde(default)]
    pub pid: i32,
    /// When that process began, in the kernel's clock ticks since boot: tells it from a later process of the same number.
    #[serde(default)]
    pub pid_start: u64,
    /// The monitor's process; 0 when not running.
    #[serde(default)]
    pub monitor: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    #[serde(default)]
    pub exit_code: u8,
    #[serde(default)]
    pub oom_killed: bool,
    /// The published ports with those host ports that were chosen at the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortMapping>,
    /// The cgroup that carries out its limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
    /// How often its monitor has started it again since somebody started it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restarts: u32,
    /// Somebody ended it on purpose: `unless-stopped` does not bring it back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stopped: bool,
    /// Why the last start failed, why the end is not the program's own, or what is wrong with it while it runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl State {
    /// The state in `dir`; one without the file was never started. A file that a power cut tore counts as missing:
    /// it is worth less than the container.
    pub(crate) fn load(dir: &Path) -> Self {
        file::read_json(&dir.join(FILE)).ok().flatten().unwrap_or_default()
    }

    /// Not flushed: after a power cut the container is not running whatever the file says.
    pub(crate) fn store(&self, dir: &Path) -> Result<()> {
        file::write_json(&dir.join(FILE), self, Durability::Volatile)
    }
}

/// When process `pid` began, in clock ticks since boot (proc(5), /proc/PID/stat, field 22).
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name, in parentheses and of any characters.
    stat.get(stat.rfind(')')? + 2..)?.split(' ').nth(19)?.parse().ok()
}
