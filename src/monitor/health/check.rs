//! One check: the command in the container, its output, and the report with it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

pub(crate) use super::verdict::Verdict;
use super::{Attempt, Destination, Healthcheck, Report};
use crate::error::{Context, Error, Result};
use crate::runtime::{self, Stdio, Target};
use crate::state::events::{self, Event, Named};
use crate::state::file::{self, Durability};
use crate::state::lock::{Lock, Mode as LockMode};
use crate::sys::process::exit_code;
use crate::sys::seccomp::Filter;
use crate::sys::signal;
use crate::userns::IdMaps;

/// What is read of the output in any case; the report keeps less.
const OUTPUT_LIMIT: usize = 1 << 20;

/// Everything that a check needs of its container.
pub(crate) struct Check<'a> {
    pub health: &'a Healthcheck,
    /// The container's first process.
    pub pidfd: BorrowedFd<'a>,
    pub pid: i32,
    pub spec: &'a Spec,
    pub maps: Option<&'a IdMaps>,
    pub seccomp: Option<&'a Filter>,
    pub cgroup: Option<&'a Path>,
    pub started_at: Timestamp,
    /// The record directory.
    pub record: &'a Path,
    /// The directory of the host's events.
    pub events: &'a Path,
    pub named: Named<'a>,
}

/// What a check has come to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub verdict: Verdict,
    /// How long it was waited for when it took too long.
    pub timeout: Option<Duration>,
}

impl Check<'_> {
    /// Runs the check, adds it to the report, and notes the event. For a process with one thread.
    pub(crate) fn run(&self) -> Result<Outcome> {
        let health = self.health;
        let startup = health.startup.as_ref().filter(|_| Report::load(self.record).startup.is_some());
        let (test, timeout) = startup.map_or((&health.test, health.timeout), |s| (&s.test, s.timeout));
        let start = Timestamp::now();
        let (exit_code, output) = match self.attempt(test, timeout) {
            Ok(done) => done,
            // A command that is not there is a failure like any other; the container is what is checked.
            Err(error) => (i32::from(error.kind().exit_code()), error.to_string()),
        };
        let end = Timestamp::now();
        let output = if health.log_size > 0 { output.chars().take(health.log_size as usize).collect() } else { output };
        let period = jiff::SignedDuration::try_from(health.start_period).unwrap_or_default();
        let starting = start.duration_since(self.started_at) < period;
        let attempt = Attempt { start, end, exit_code, output };
        let verdict = self.note(attempt, starting)?;
        Ok(Outcome { verdict, timeout: (exit_code == -1).then_some(timeout) })
    }

    /// The exit code and the output; -1 when it took too long.
    fn attempt(&self, test: &[String], timeout: Duration) -> Result<(i32, String)> {
        let mut process =
            self.spec.process().clone().ok_or_else(|| Error::new("the container's Spec has no process"))?;
        process.set_args(Some(command(test)?)).set_terminal(None);
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).context(|| "cannot make a pipe")?;
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let stdin = null.context(|| "cannot open /dev/null")?;
        let stdout = write.try_clone().context(|| "cannot make a pipe")?;
        let open = |path: &Path| {
            rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .context(|| format!("cannot open the container's cgroup {}", path.display()))
        };
        let cgroup = self.cgroup.map(open).transpose()?;
        let target = Target {
            pidfd: self.pidfd,
            spec: self.spec,
            maps: self.maps,
            enters_user: runtime::enters_user(self.pid),
            cgroup: cgroup.as_ref().map(AsFd::as_fd),
            attach: None,
            seccomp: self.seccomp,
            detach: false,
            given: &[],
        };
        let stdio = Stdio::Pipes { stdin, stdout, stderr: write };
        let child = runtime::exec(&target, &process, &stdio)?;
        drop(stdio);
        wait(&child.pidfd, &read, timeout)
    }

    /// Adds the attempt to the report; two checks at a time take turns.
    fn note(&self, attempt: Attempt, starting: bool) -> Result<Verdict> {
        let _lock = Lock::acquire(&self.record.join("health.lock"), LockMode::Exclusive)?;
        let mut report = Report::load(self.record);
        let said = attempt.output.trim_end().replace('\n', " ");
        let verdict = report.add(self.health, attempt, starting);
        report.store(self.record)?;
        if let Some(file) = self.log_file() {
            file::write_json(&file, &report, Durability::Volatile)?;
        }
        let event = Event {
            health_status: report.status.as_str().into(),
            health_failing_streak: Some(report.failing_streak).filter(|streak| *streak > 0),
            health_log: if self.health.log == Destination::Events { said.into() } else { "".into() },
            ..self.named.event("health_status")
        };
        events::append(self.events, &[event]);
        Ok(verdict)
    }

    /// `--health-log-destination DIR`; the name is Podman's.
    fn log_file(&self) -> Option<PathBuf> {
        match &self.health.log {
            Destination::Directory(dir) => Some(dir.join(format!("{}-healthcheck.log", self.named.id))),
            Destination::Local | Destination::Events => None,
        }
    }
}

/// The words of a test: `CMD a b`, or `CMD-SHELL text`.
fn command(test: &[String]) -> Result<Vec<String>> {
    match test {
        [kind, words @ ..] if kind == "CMD" && !words.is_empty() => Ok(words.to_vec()),
        [kind, text] if kind == "CMD-SHELL" => Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), text.clone()]),
        _ => Err(Error::new(format!("the health check {test:?} is neither CMD nor CMD-SHELL"))),
    }
}

/// Waits for the end of the process and reads what it writes. What it leaves running keeps nobody waiting.
fn wait(pidfd: &OwnedFd, output: &OwnedFd, timeout: Duration) -> Result<(i32, String)> {
    let what = || "cannot wait for the health check";
    rustix::io::ioctl_fionbio(output, true).context(what)?;
    let deadline = Instant::now() + timeout;
    let (mut said, mut open) = (Vec::new(), true);
    let code = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = vec![PollFd::new(pidfd, PollFlags::IN)];
        if open {
            fds.push(PollFd::new(output, PollFlags::IN));
        }
        match poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
            Err(Errno::INTR) => continue,
            result => result.context(what)?,
        };
        let ended = !fds[0].revents().is_empty();
        open = open && read(output, &mut said);
        if ended {
            break i32::from(reap(pidfd));
        }
        if left.is_zero() {
            // It is our child and not waited for yet.
            let _ = signal::send(pidfd.as_fd(), libc::SIGKILL);
            reap(pidfd);
            break -1;
        }
    };
    Ok((code, String::from_utf8_lossy(&said).into_owned()))
}

/// What there is to read now; `false` at the end.
fn read(output: &OwnedFd, said: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match rustix::io::read(output, &mut buffer) {
            Ok(0) => return false,
            Ok(length) if said.len() < OUTPUT_LIMIT => said.extend_from_slice(&buffer[..length]),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return e == Errno::AGAIN,
        }
    }
}

fn reap(pidfd: &OwnedFd) -> u8 {
    loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) => return exit_code(&status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(_) => return 255,
        }
    }
}
