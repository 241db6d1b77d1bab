//! Putting right what a killed process left: a container whose monitor is gone, half-made and half-removed ones.
//!
//! Done on sight by whoever looks at containers. The lock decides: nothing is touched while another process holds it.

use jiff::Timestamp;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::record::Record;
use super::remove;
use super::store::Container;
use crate::error::Result;
use crate::monitor::place::Place;
use crate::monitor::state::{State, Status};
use crate::state::paths::Dirs;
use crate::sys::signal;

/// The container says it runs, but its monitor does not hold the lock any more: nothing will ever tell its exit code.
///
/// Its first process was to die with the monitor (PR_SET_PDEATHSIG); a program that gave that up is killed here.
pub(super) fn settle(dirs: &Dirs, container: &Container) -> Result<State> {
    let Some(lock) = container.place.try_lock()? else {
        // Somebody else is putting it right, or has started it anew.
        return Ok(State::load(&container.place.record));
    };
    let state = State::load(&container.place.record);
    if state.status != Status::Running {
        return Ok(state);
    }
    kill_leftover(&state);
    let ended = State {
        status: Status::Exited,
        pid: 0,
        pid_start: 0,
        monitor: 0,
        finished_at: Some(Timestamp::now()),
        exit_code: 137,
        error: "the container's monitor was killed".into(),
        ..state
    };
    if container.record.rm {
        remove::remove_locked(dirs, container, &lock)?;
    } else {
        ended.store(&container.place.record)?;
    }
    Ok(ended)
}

/// Kills the process that was the container's first one, if it is still that process, and waits for its end.
fn kill_leftover(state: &State) {
    let Some(pidfd) = Pid::from_raw(state.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return;
    };
    // The pidfd pins the process; only now is its start time certain to be this process's.
    if crate::monitor::state::start_time(state.pid) != Some(state.pid_start) {
        return;
    }
    if signal::send(std::os::fd::AsFd::as_fd(&pidfd), libc::SIGKILL).is_ok() {
        let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        let second = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
        let _ = rustix::event::poll(&mut fds, Some(&second));
    }
}

/// Clears the directories of an id without a record: its creator or remover was killed.
pub(super) fn sweep(dirs: &Dirs, id: &str) -> Result<()> {
    let place = Place::new(dirs, id, false);
    if place.locked()? {
        return Ok(());
    }
    let Some(lock) = place.try_lock()? else { return Ok(()) };
    if Container::load(dirs, id)?.is_some() {
        return Ok(());
    }
    remove::clear(&place, &lock)
}

/// Whether `id` still stands for something: it has a record, or somebody is working on it.
pub(super) fn in_use(dirs: &Dirs, id: &str) -> Result<bool> {
    let place = Place::new(dirs, id, false);
    Ok(Record::load(&place.record)?.is_some()
        || Record::load(&Place::new(dirs, id, true).record)?.is_some()
        || place.locked()?)
}
