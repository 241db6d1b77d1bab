//! Putting right what a killed process left: a container whose monitor is gone, half-made and half-removed ones.
//!
//! Done on sight by whoever looks at containers. The lock decides: nothing is touched while another process holds it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::record::Record;
use super::store::{self, Container};
use super::{elsewhere, own_volumes, remove};
use crate::error::{Context, Result};
use crate::monitor::home;
use crate::monitor::place::{Place, is_monitor, left_exit_code};
use crate::monitor::state::{State, Status};
use crate::runtime::cgroup;
use crate::state::events::{self, Event};
use crate::state::lock::{Lock, Mode};
use crate::state::paths::Dirs;
use crate::sys::signal;

/// How long a monitor is waited for that was called.
const CALLED: Duration = Duration::from_secs(1);

/// The container says it runs, but its monitor does not hold the lock any more: nothing will ever tell its exit code.
///
/// Its first process was to die with the monitor (PR_SET_PDEATHSIG); a program that gave that up is killed here.
pub(super) fn settle(dirs: &Dirs, container: &Container) -> Result<State> {
    let Some(lock) = container.place.try_lock()? else {
        // Somebody else is putting it right, or has started it anew.
        return Ok(State::load(&container.place.record));
    };
    let state = State::load(&container.place.record);
    if !state.status.is_alive() {
        return Ok(state);
    }
    if container.place.inhabited(state.monitor) {
        drop(lock);
        return call_home(dirs, container, state);
    }
    kill_leftover(&state);
    if let Some(path) = &state.cgroup {
        // Busy for a moment longer at worst; an empty cgroup costs nothing.
        let _ = cgroup::remove(path);
    }
    // A monitor that saw the end and could not write it down, on a full disk, left the code elsewhere.
    let (exit_code, error) = match left_exit_code(&lock) {
        Some(code) => (code, String::new()),
        None => (137, "the container's monitor was killed".to_owned()),
    };
    let ended = State {
        status: Status::Exited,
        pid: 0,
        cgroup: None,
        pid_start: 0,
        monitor: 0,
        finished_at: Some(Timestamp::now()),
        exit_code,
        error,
        ..state
    };
    if container.record.rm {
        remove::remove_locked(dirs, container, true, &lock)?;
    } else if ended.store(&container.place.record).is_err() {
        // A full disk: the next look says the same, and `rm` makes room without asking the file.
        return Ok(ended);
    }
    let died = Event { exit_code: Some(ended.exit_code), ..container.record.named().event("died") };
    events::append(&events::directory(dirs), &[died]);
    Ok(ended)
}

/// Has a monitor that this process does not find make its lock and its socket again (see `monitor::home`). One that does
/// not, as its files are in another mount namespace, is left alone.
fn call_home(dirs: &Dirs, container: &Container, state: State) -> Result<State> {
    let pidfd = Pid::from_raw(state.monitor).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let called = pidfd.filter(|_| is_monitor(state.monitor)).is_some_and(|pidfd| {
        // One that has just ended hears nothing.
        signal::send(std::os::fd::AsFd::as_fd(&pidfd), home::CALL).is_ok()
    });
    let deadline = Instant::now() + CALLED;
    while called && !container.place.locked()? && Instant::now() < deadline {
        if !container.place.inhabited(state.monitor) {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // It was at its end, and let go of its lock before the rest.
    if !container.place.locked()? && !container.place.inhabited(state.monitor) {
        return settle(dirs, container);
    }
    Ok(State::load(&container.place.record))
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
    // A container with --rm, whose record was in a runtime directory that is gone, goes on.
    if Container::load(dirs, id)?.is_some() || place.inhabited(0) {
        return Ok(());
    }
    own_volumes::remove_noted(dirs, &place)?;
    elsewhere::unmark(dirs, id);
    remove::clear(&place, &lock)
}

/// Removes names that stand for nothing: their container's creator or remover was killed. Every container has one name,
/// so counting tells whether there is anything to look for.
pub(super) fn sweep_names(dirs: &Dirs, containers: usize) -> Result<()> {
    // None was ever taken, or somebody else cleans up.
    let Ok(entries) = std::fs::read_dir(dirs.host.join("names")) else { return Ok(()) };
    let names: Vec<_> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    if names.len() <= containers {
        return Ok(());
    }
    let _names = lock_names(dirs)?;
    for name in names {
        if let Some(id) = store::name_target(dirs, &name)
            && !owns_name(dirs, &id, &name)?
        {
            // Whoever takes the name now takes this lock first.
            let _ = std::fs::remove_file(store::name_link(dirs, &name));
        }
    }
    Ok(())
}

/// Removes the names that lead to `id`, which is no container any more.
pub(super) fn forget_names(dirs: &Dirs, id: &str) -> Result<()> {
    let _names = lock_names(dirs)?;
    let names = std::fs::read_dir(dirs.host.join("names")).into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        if store::name_target(dirs, &name).as_deref() == Some(id) {
            // Gone already, or found again by the next listing.
            let _ = std::fs::remove_file(store::name_link(dirs, &name));
        }
    }
    Ok(())
}

/// Gives a container the name in its record back, whose link was lost.
///
/// # Errors
/// When another container has the name now.
pub(crate) fn restore_name(dirs: &Dirs, container: &Container) -> Result<()> {
    let _names = lock_names(dirs)?;
    let name = &container.record.name;
    let link = store::name_link(dirs, name);
    std::os::unix::fs::symlink(container.id(), &link).context(|| format!("cannot give a container the name {name}"))
}

/// Whoever takes a name that is taken, gives one up or clears stale ones holds this.
pub(super) fn lock_names(dirs: &Dirs) -> Result<Lock> {
    Lock::acquire(&dirs.host.join("names.lock"), Mode::Exclusive)
}

/// Whether the link from `name` to `id` stands for something: a record that says so, or somebody working on making one.
pub(super) fn owns_name(dirs: &Dirs, id: &str, name: &str) -> Result<bool> {
    for rm in [false, true] {
        match Record::load(&Place::new(dirs, id, rm).record) {
            Ok(Some(record)) => return Ok(record.name == name),
            Ok(None) => {}
            // Damaged: it may be its.
            Err(_) => return Ok(true),
        }
    }
    let place = Place::new(dirs, id, false);
    Ok(place.locked()? || place.inhabited(0))
}
