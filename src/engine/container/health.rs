//! A container's health: as it is known, and checked by hand.

use std::os::fd::AsFd;
use std::time::Duration;

use super::store::Container;
use super::{lifecycle, start};
use crate::error::{Error, Kind, Result};
use crate::monitor::health::check::{Check, Outcome};
use crate::monitor::health::{Report, Status};
use crate::monitor::state::State;
use crate::state::events;
use crate::state::paths::Dirs;

impl Container {
    /// What is known about its health; `None` without a health check.
    pub(crate) fn health(&self) -> Option<Report> {
        self.record.health.then(|| Report::load(&self.place.record))
    }

    /// In one word: starting, healthy or unhealthy; empty without a health check, and for one that does not run.
    pub(crate) fn health_word(&self, state: &State) -> &'static str {
        let report = if state.status.is_up() { self.health() } else { None };
        report.map_or("", |report| report.status.as_str())
    }
}

/// Waits until the container has this health, looking every `interval`.
///
/// # Errors
/// When it has no health check, or ends before.
pub(crate) fn wait(dirs: &Dirs, container: &Container, wanted: Status, interval: Duration) -> Result<()> {
    loop {
        let Some(report) = container.health() else {
            return Err(Error::new(format!("container {} has no defined healthcheck", container.id())));
        };
        if !container.state(dirs)?.status.is_alive() {
            return Err(Error::new(format!(
                "container {} does not run: it will not become {}",
                container.id(),
                wanted.as_str()
            )));
        }
        if report.status == wanted {
            return Ok(());
        }
        std::thread::sleep(interval);
    }
}

/// Checks the container's health now.
pub(crate) fn check(dirs: &Dirs, container: &Container) -> Result<Outcome> {
    let config = container.config()?;
    let state = container.state(dirs)?;
    let Some(pidfd) = lifecycle::init(&state).filter(|_| state.status.is_up()) else {
        return Err(Error::new(format!("container {} is not running", container.id())).with_kind(Kind::Conflict));
    };
    let Some(health) = &config.health else {
        return Err(Error::new(format!("container {} has no defined healthcheck", container.id())));
    };
    let seccomp = start::seccomp(&config.spec)?;
    let events = events::directory(dirs);
    let check = Check {
        health,
        pidfd: pidfd.as_fd(),
        pid: state.pid,
        spec: &config.spec,
        maps: config.maps.as_ref(),
        seccomp: seccomp.as_ref(),
        cgroup: state.cgroup.as_deref(),
        started_at: state.started_at.unwrap_or_default(),
        record: &container.place.record,
        events: &events,
        named: container.record.named(),
    };
    check.run()
}
