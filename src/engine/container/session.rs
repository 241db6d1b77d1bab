//! Processes of `exec`: known to `inspect` while they run, and those that outlive their command (`-d`, and those that were
//! detached from) for a while longer.
//!
//! ```text
//! rpod exec ──fork──▶ keeper: starts the process, is its parent, and notes its end in runtime/containers/<id>/exec/<session>.json
//!    ▲                  │ the monitor's messages: Warning, Started, Exit | Detached
//!    └──────────────────┘
//! ```
//!
//! As a container ends with its monitor, such a process ends with its keeper.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::store::Container;
use crate::error::{Context, Error, Result};
use crate::monitor::client::{Client, PROXIED};
use crate::monitor::place::Place;
use crate::monitor::protocol::{self, Event, Failure, PACKET};
use crate::monitor::state::start_time;
use crate::state::file::{self, Durability};
use crate::state::id;
use crate::state::paths::create_private;
use crate::sys::process::{Child, Fork, exit_now, fork};
use crate::sys::signal::{self, SignalFd};

/// How long an ended session is remembered, as Podman does it.
const REMEMBERED: Duration = Duration::from_secs(300);

/// One such process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Session {
    #[serde(rename = "ID")]
    pub id: String,
    pub command: Vec<String>,
    /// As the host sees it; 0 once it has ended.
    pub pid: i32,
    pub keeper: i32,
    /// When the keeper began (see [`start_time`]).
    keeper_start: u64,
    pub started_at: Timestamp,
    /// `None` while it runs, and when its keeper was killed.
    pub exit_code: Option<u8>,
}

impl Session {
    pub(super) fn new(command: &[String], pid: i32) -> Result<Self> {
        let keeper = rustix::process::getpid().as_raw_nonzero().get();
        Ok(Self {
            id: id::random()?,
            command: command.to_vec(),
            pid,
            keeper,
            keeper_start: start_time(keeper).unwrap_or(0),
            started_at: Timestamp::now(),
            exit_code: None,
        })
    }

    /// Its keeper lives.
    pub(crate) fn is_running(&self) -> bool {
        self.exit_code.is_none() && start_time(self.keeper) == Some(self.keeper_start)
    }

    /// Makes it known while its command is there. Best effort: the process runs already.
    pub(super) fn show(&self, place: &Place) {
        let dir = directory(place);
        if let Ok(text) = serde_json::to_vec(self)
            && create_private(&dir).is_ok()
        {
            let _ = std::fs::write(dir.join(format!("{}.json", self.id)), text);
        }
    }

    /// It has ended in sight of its command: nobody will ask.
    pub(super) fn hide(&self, place: &Place) {
        let _ = std::fs::remove_file(directory(place).join(format!("{}.json", self.id)));
    }

    /// Makes it known, and forgets those that ended long ago.
    pub(super) fn store(&self, place: &Place) -> Result<()> {
        let dir = directory(place);
        create_private(&dir)?;
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let age =
                entry.metadata().and_then(|meta| meta.modified()).map(|time| SystemTime::now().duration_since(time));
            let old = matches!(age, Ok(Ok(age)) if age > REMEMBERED);
            if old && read(&entry.path()).is_none_or(|session| !session.is_running()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        file::write_json(&dir.join(format!("{}.json", self.id)), self, Durability::Volatile)
    }

    /// Notes its end. The container may be gone, and with it whoever would ask.
    pub(super) fn ended(mut self, place: &Place, code: u8) {
        (self.pid, self.exit_code) = (0, Some(code));
        let path = directory(place).join(format!("{}.json", self.id));
        if path.exists() {
            let _ = file::write_json(&path, &self, Durability::Volatile);
        }
    }
}

fn directory(place: &Place) -> PathBuf {
    place.runtime.join("exec")
}

fn read(path: &std::path::Path) -> Option<Session> {
    file::read_json(path).ok().flatten()
}

/// The sessions of a container, the oldest first.
pub(crate) fn list(container: &Container) -> Vec<Session> {
    let entries = std::fs::read_dir(directory(&container.place)).into_iter().flatten().flatten();
    let mut sessions: Vec<Session> = entries.filter_map(|entry| read(&entry.path())).collect();
    sessions.sort_by_key(|session| session.started_at);
    sessions
}

/// The keeper's end of the line.
pub(super) struct Caller(OwnedFd);

impl Caller {
    /// A caller that is gone hears nothing.
    pub(super) fn tell(&self, event: &Event<'_>) {
        let mut packet = Vec::new();
        event.encode(&mut packet);
        let _ = protocol::send(self.0.as_fd(), &packet);
    }

    pub(super) fn fail(&self, error: &Error) {
        self.tell(&Event::Error(&Failure::encode(error)));
    }
}

/// Forks a keeper that does `work`; answers the caller's end of the line. What the caller printed must have been flushed.
pub(super) fn keep(work: impl FnOnce(Caller)) -> Result<(Client, Child)> {
    let what = || "cannot start a process to keep the session";
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .context(what)?;
    match fork().context(what)? {
        Fork::Parent(child) => Ok((Client::new(ours), child)),
        Fork::Child => {
            drop(ours);
            work(Caller(theirs));
            exit_now(0)
        }
    }
}

/// Waits for the end of the keeper's process, passing signals on; `None` when the user detached.
pub(super) fn follow(client: &Client, keeper: &Child, warn: &mut dyn FnMut(&str)) -> Result<Option<u8>> {
    let signals = SignalFd::new(&PROXIED).context(|| "cannot receive signals")?;
    let mut buffer = vec![0; PACKET];
    loop {
        match poll(&mut [PollFd::new(client, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)], None) {
            Err(Errno::INTR) => continue,
            result => result.context(|| "cannot wait for the process")?,
        };
        while let Some(number) = signals.next() {
            // It may have ended a moment ago.
            let _ = signal::send(keeper.pidfd.as_fd(), number);
        }
        let mut fds = [PollFd::new(client, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&now)).is_ok_and(|ready| ready == 0) {
            continue;
        }
        let read = protocol::receive(client.as_fd(), &mut buffer).context(|| "cannot hear the session's keeper")?;
        match Event::decode(&buffer[..read]) {
            // Killed without a word.
            _ if read == 0 => return Ok(Some(137)),
            Ok(Event::Warning(text)) => warn(&String::from_utf8_lossy(text)),
            Ok(Event::Error(failure)) => return Err(Failure::decode(failure)),
            Ok(Event::Exit(code)) => return Ok(Some(code)),
            Ok(Event::Detached) => return Ok(None),
            _ => {}
        }
    }
}
