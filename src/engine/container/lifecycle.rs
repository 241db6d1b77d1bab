//! Stopping, signalling, waiting for and removing containers.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::halt::{Asked, revives};
use super::pause;
use super::remove;
use super::store::Container;
use crate::engine::events;
use crate::error::{Context, Error, Kind, Result};
use crate::monitor::state::{State, Status, start_time};
use crate::state::paths::Dirs;
use crate::sys::signal;

/// How long the state of a container is looked at whose monitor cannot be found.
const UNFOUND: Duration = Duration::from_secs(2);

/// How long `stop` waits before it kills; `None`: for ever.
pub(crate) type Patience = Option<Duration>;

/// The `--time` option: seconds, negative for ever; without it what the container was created with.
pub(crate) fn patience(container: &Container, seconds: Option<i64>) -> Patience {
    match seconds {
        None => Some(Duration::from_secs(container.record.stop_timeout.into())),
        Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
    }
}

/// The container's first process, pinned: it cannot become another one.
pub(super) fn init(state: &State) -> Option<OwnedFd> {
    if !state.status.has_processes() {
        return None;
    }
    let pidfd = pidfd_open(Pid::from_raw(state.pid)?, PidfdFlags::empty()).ok()?;
    (start_time(state.pid) == Some(state.pid_start)).then_some(pidfd)
}

/// Sends `number` to the container's first process. After SIGKILL the container is waited for, as Podman does: its state and
/// ports are settled when this returns.
pub(crate) fn kill(dirs: &Dirs, container: &Container, number: i32) -> Result<()> {
    let state = container.state(dirs)?;
    // Or the monitor would start it again.
    if revives(container) && state.status.is_up() && [libc::SIGKILL, container.record.stop_signal].contains(&number) {
        let asked = Asked::stop(container, number)?;
        events::container(dirs, "kill", &container.record);
        if number == libc::SIGKILL || state.status == Status::Restarting {
            asked.wait(None)?;
            container.place.wait_unlocked()?;
        }
        return Ok(());
    }
    let Some(pidfd) = init(&state).filter(|_| state.status.is_up()) else {
        return Err(Error::new(format!(
            "can only kill running containers. {} is in state {}: container state improper",
            container.id(),
            state.status.as_str()
        ))
        .with_kind(Kind::Conflict));
    };
    signal::send(pidfd.as_fd(), number)
        .context(|| format!("cannot send {} to container {}", signal::name(number), container.id()))?;
    events::container(dirs, "kill", &container.record);
    if number == libc::SIGKILL {
        container.place.wait_unlocked()?;
    }
    Ok(())
}

/// A container that was asked to stop.
#[derive(Debug)]
pub(crate) struct Stopping<'c> {
    container: &'c Container,
    target: Target,
    deadline: Option<Instant>,
}

/// Who ends a container.
#[derive(Debug)]
enum Target {
    /// It does not run.
    Nobody,
    Process(OwnedFd),
    /// Its monitor, which would start it again.
    Monitor(Asked),
}

/// Sends the stop signal. Several containers are stopped at once by asking all of them before waiting for any.
pub(crate) fn ask_to_stop<'c>(dirs: &Dirs, container: &'c Container, patience: Patience) -> Result<Stopping<'c>> {
    let state = container.state(dirs)?;
    if state.status == Status::Paused {
        // A stopped program does not hear that it is to end; one that has just ended need not.
        let _ = pause::unpause(dirs, container);
    }
    let deadline = patience.map(|time| Instant::now() + time);
    // A first process that waits to become the program has nothing to tidy up, and hears no other signal.
    let at_once = patience == Some(Duration::ZERO) || state.status == Status::Initialized;
    let first = if at_once { libc::SIGKILL } else { container.record.stop_signal };
    if revives(container) && state.status.is_alive() {
        let target = Target::Monitor(Asked::stop(container, first)?);
        return Ok(Stopping { container, target, deadline });
    }
    let pidfd = init(&state);
    if let Some(pidfd) = &pidfd {
        match signal::send(pidfd.as_fd(), first) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(e) => return Err(Error::wrap(format!("cannot stop container {}", container.id()), e)),
        }
    }
    Ok(Stopping { container, target: pidfd.map_or(Target::Nobody, Target::Process), deadline })
}

impl Stopping<'_> {
    /// It ran, and was told to end.
    pub(crate) fn is_under_way(&self) -> bool {
        !matches!(self.target, Target::Nobody)
    }

    /// Waits until the container has ended; kills it at the end of its time. Answers whether it had to be killed.
    pub(crate) fn finish(self) -> Result<bool> {
        let what = || format!("cannot stop container {}", self.container.id());
        let ended = match self.target {
            Target::Nobody => return Ok(false),
            Target::Monitor(asked) => {
                asked.wait(self.deadline)? || {
                    Asked::stop(self.container, libc::SIGKILL)?.wait(None)?;
                    false
                }
            }
            Target::Process(pidfd) => {
                wait_ended(&pidfd, self.deadline).context(what)? || {
                    match signal::send(pidfd.as_fd(), libc::SIGKILL) {
                        Ok(()) | Err(Errno::SRCH) => {}
                        Err(e) => return Err(Error::wrap(what(), e)),
                    }
                    false
                }
            }
        };
        // The monitor writes the state, then lets go.
        self.container.place.wait_unlocked()?;
        Ok(!ended)
    }
}

/// Whether the process has ended.
pub(super) fn has_ended(pidfd: &OwnedFd) -> bool {
    wait_ended(pidfd, Some(Instant::now())).unwrap_or(false)
}

/// Whether the process has ended before `deadline`.
fn wait_ended(pidfd: &OwnedFd, deadline: Option<Instant>) -> rustix::io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() }
        });
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            result => return result.map(|ready| ready > 0),
        }
    }
}

/// Waits until the container does not run; answers its exit code.
pub(crate) fn wait(dirs: &Dirs, container: &Container) -> Result<u8> {
    let left = if container.state(dirs)?.status.is_alive() { container.place.wait_unlocked()? } else { None };
    match Container::load(dirs, container.id())? {
        Some(container) => Ok(container.state(dirs)?.exit_code),
        // Removed meanwhile; its monitor left the code for us.
        None => Ok(left.unwrap_or(137)),
    }
}

/// How a container is to be removed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Removal {
    /// Stop it first.
    pub force: bool,
    /// `--time`.
    pub seconds: Option<i64>,
    /// Its anonymous volumes as well.
    pub volumes: bool,
}

/// Asks a container that is to be removed by force to stop. Of several, all are asked before the first is removed.
pub(crate) fn ask_to_leave<'c>(
    dirs: &Dirs,
    container: &'c Container,
    removal: Removal,
) -> Result<Option<Stopping<'c>>> {
    if !removal.force || !container.state(dirs)?.status.is_alive() {
        return Ok(None);
    }
    ask_to_stop(dirs, container, patience(container, removal.seconds)).map(Some)
}

/// Makes sure that a container whose end was waited for has ended: one whose monitor is not where this process looks for
/// it cannot be waited for.
///
/// # Errors
/// When it goes on: nothing of it may be removed.
fn ended(dirs: &Dirs, container: &Container) -> Result<()> {
    let deadline = Instant::now() + UNFOUND;
    loop {
        let state = container.state(dirs)?;
        // With its lock held it has been started again.
        if !state.status.is_alive() || container.place.locked()? {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::new(format!(
                "container {} goes on: its monitor (process {}) is not to be found in {}",
                container.id(),
                state.monitor,
                dirs.runtime.display()
            ))
            .with_kind(Kind::Conflict)
            .hint("use the environment (RPOD_RUNTIME, --runroot, /tmp) that it was started in, or end that process"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Removes the container.
pub(crate) fn remove(dirs: &Dirs, container: &Container, removal: Removal) -> Result<()> {
    loop {
        let status = container.state(dirs)?.status;
        if status.is_alive() {
            if !removal.force && status.is_up() {
                return Err(Error::new(format!(
                    "cannot remove container {} as it is running - running or paused containers cannot be removed \
                     without force: container state improper",
                    container.id()
                ))
                .with_kind(Kind::Conflict));
            }
            ask_to_stop(dirs, container, patience(container, removal.seconds))?.finish()?;
            ended(dirs, container)?;
        }
        match container.place.try_lock()? {
            Some(lock) => {
                // With --rm its monitor has just done it.
                return match Container::load(dirs, container.id())? {
                    Some(container) => remove::remove_locked(dirs, &container, removal.volumes, &lock),
                    None => remove::clear(&container.place, &lock),
                };
            }
            // Just being started or removed by somebody else.
            None if removal.force => std::thread::sleep(Duration::from_millis(2)),
            None => {
                return Err(Error::new(format!("container {} is being used by another process", container.id()))
                    .with_kind(Kind::Conflict));
            }
        }
    }
}
