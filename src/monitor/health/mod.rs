//! Health checks: a command run in the container at intervals, and what its exit codes add up to.
//!
//! ```text
//! monitor ── clock: it is time ──fork──▶ check: exec in the container, wait, add the attempt to health.json, note the event
//!    ▲                                     │
//!    └── kill, stop or restart ◀─ exit code ┘      `rpod healthcheck run` does the same as the forked process
//! ```
//!
//! The rules are Podman's: a success makes the container healthy, as many failures in a row as `retries` make it
//! unhealthy, failures within the start period do not count; a start-up check, while there is one, comes first.

pub(crate) mod check;
pub(super) mod clock;
mod verdict;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::state::file::{self, Durability};

/// The file's name in the record directory.
const FILE: &str = "health.json";

/// What is checked, and what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Healthcheck {
    /// `CMD` and words, or `CMD-SHELL` and one text for `/bin/sh -c`.
    pub test: Vec<String>,
    /// Between the end of one check and the next; zero: only by hand.
    pub interval: Duration,
    pub timeout: Duration,
    #[serde(default)]
    pub start_period: Duration,
    pub retries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Startup>,
    #[serde(default)]
    pub on_failure: Action,
    #[serde(default)]
    pub log: Destination,
    /// How many attempts are kept; 0: all.
    pub log_count: u32,
    /// Characters that are kept of an attempt's output; 0: all.
    pub log_size: u32,
}

impl Healthcheck {
    /// Whether it may have the container started again.
    pub(crate) fn revives(&self) -> bool {
        self.on_failure == Action::Restart || self.startup.as_ref().is_some_and(|startup| startup.retries > 0)
    }
}

/// The check that is made until it has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Startup {
    pub test: Vec<String>,
    pub interval: Duration,
    pub timeout: Duration,
    /// Failures after which the container is started again; 0: never.
    pub retries: u32,
    /// Successes in a row that are wanted; 0 is as good as 1.
    pub success: u32,
}

/// What becomes of an unhealthy container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    #[default]
    None,
    Kill,
    Restart,
    Stop,
}

impl Action {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Stop => "stop",
        }
    }
}

/// Where the attempts go, beside what `inspect` shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Destination {
    #[default]
    Local,
    /// Into the container's events.
    Events,
    /// A file named after the container in this directory.
    Directory(PathBuf),
}

/// What is known about the health; the names are Podman's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Report {
    pub status: Status,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The oldest first.
    #[serde(default)]
    pub log: Vec<Attempt>,
    /// Of the start-up check; `None` without one and once it has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Progress>,
}

/// How far the start-up check has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub successes: u32,
    pub failures: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One run of the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Attempt {
    pub start: Timestamp,
    pub end: Timestamp,
    /// -1 when it took too long.
    pub exit_code: i32,
    pub output: String,
}

impl Report {
    /// The report in the record directory `dir`; a fresh one when there is none. One that a power cut tore is worth nothing.
    pub(crate) fn load(dir: &Path) -> Self {
        file::read_json(&dir.join(FILE)).ok().flatten().unwrap_or_default()
    }

    fn store(&self, dir: &Path) -> Result<()> {
        file::write_json(&dir.join(FILE), self, Durability::Volatile)
    }

    /// At a start: nothing is known, and what was is kept for reading only.
    pub(super) fn reset(dir: &Path, check: &Healthcheck) -> Result<()> {
        let startup = check.startup.as_ref().map(|_| Progress::default());
        Self { status: Status::Starting, failing_streak: 0, startup, ..Self::load(dir) }.store(dir)
    }
}
