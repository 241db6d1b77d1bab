//! When the monitor checks next, and the process that does.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;

use super::check::{Check, Verdict};
use super::{Action, Healthcheck, Report};
use crate::monitor::Terms;
use crate::monitor::state::State;
use crate::state::events::Named;
use crate::sys::process::{Child, Fork, exit_now, fork};
use crate::sys::seccomp::Filter;
use crate::sys::{close, prctl, signal};
use crate::userns::IdMaps;

/// What all checks of a container have in common (see [`Check`]).
#[derive(Debug, Clone, Copy)]
pub(in crate::monitor) struct Subject<'a> {
    pub spec: &'a Spec,
    pub maps: Option<&'a IdMaps>,
    pub seccomp: Option<&'a Filter>,
    pub record: &'a Path,
    pub events: &'a Path,
}

impl<'a> Subject<'a> {
    /// The checks of a program that has just been started; `None` when there are none to make.
    pub(in crate::monitor) fn clock(self, terms: &Terms<'a>) -> Option<Clock<'a>> {
        terms.health.map(|health| Clock::new(self, health, terms.named))
    }
}

/// The checks of one run of the program.
#[derive(Debug)]
pub(in crate::monitor) struct Clock<'a> {
    subject: Subject<'a>,
    health: &'a Healthcheck,
    named: Named<'a>,
    /// The start-up check is not over.
    starting: bool,
    /// `None` while one is under way, and when they are made by hand only.
    next: Option<Instant>,
    child: Option<Child>,
}

impl<'a> Clock<'a> {
    /// The first check is made at once, as Podman's timer does it.
    fn new(subject: Subject<'a>, health: &'a Healthcheck, named: Named<'a>) -> Self {
        // Nothing is known then, which readers take a missing file for.
        let _ = Report::reset(subject.record, health);
        let mut clock = Self { subject, health, named, starting: health.startup.is_some(), next: None, child: None };
        clock.next = clock.interval().map(|_| Instant::now());
        clock
    }

    fn interval(&self) -> Option<Duration> {
        let health = self.health;
        let startup = health.startup.as_ref().filter(|_| self.starting);
        let interval = startup.map_or(health.interval, |startup| startup.interval);
        (!interval.is_zero()).then_some(interval)
    }

    /// What becomes of the container when it is unhealthy.
    pub(in crate::monitor) fn action(&self) -> Action {
        self.health.on_failure
    }

    /// When to look at the clock again.
    pub(in crate::monitor) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Readable when the check under way has ended.
    pub(in crate::monitor) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.child.as_ref().map(|child| child.pidfd.as_fd())
    }

    /// The container has another name.
    pub(in crate::monitor) fn rename(&mut self, named: Named<'a>) {
        self.named = named;
    }

    fn wind(&mut self) {
        self.next = self.interval().map(|interval| Instant::now() + interval);
    }

    /// Leaves this one out: a paused program cannot answer.
    pub(in crate::monitor) fn skip(&mut self) {
        self.wind();
    }

    /// Starts a check of the program whose first process `pidfd` is. For a process with one thread.
    pub(in crate::monitor) fn begin(&mut self, pidfd: BorrowedFd<'_>, state: &State) {
        self.next = None;
        let Subject { spec, maps, seccomp, record, events } = self.subject;
        let (health, named) = (self.health, self.named);
        let started_at = state.started_at.unwrap_or_default();
        let cgroup = state.cgroup.as_deref();
        let check =
            Check { health, pidfd, pid: state.pid, spec, maps, seccomp, cgroup, started_at, record, events, named };
        match fork() {
            Ok(Fork::Parent(child)) => self.child = Some(child),
            Ok(Fork::Child) => {
                // The lock, the clients and the program's input are the monitor's alone.
                close::all_but(vec![check.pidfd]);
                let _ = prctl::die_with_parent();
                let code = check.run().map_or(Verdict::Failed, |outcome| outcome.verdict) as u8;
                exit_now(code)
            }
            // Out of processes or memory: the next time.
            Err(_) => self.wind(),
        }
    }

    /// The check under way has ended.
    pub(in crate::monitor) fn end(&mut self) -> Option<Verdict> {
        let verdict = self.child.take().and_then(|child| child.wait().ok()).and_then(Verdict::from_code);
        if verdict == Some(Verdict::Started) {
            // The regular check begins at once.
            self.starting = false;
            self.next = self.interval().map(|_| Instant::now());
        } else {
            self.wind();
        }
        verdict
    }
}

impl Drop for Clock<'_> {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            let _ = signal::send(child.pidfd.as_fd(), libc::SIGKILL);
            let _ = child.wait();
        }
    }
}
