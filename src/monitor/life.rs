//! The monitor's whole life: start, serve, and again as often as `--restart` says.

use std::borrow::Cow;
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;

use super::clients::{self, Client};
use super::health::clock::Subject;
use super::home;
use super::launch::{Fresh, Launch};
use super::notify::Notifier;
use super::place::leave_exit_code;
use super::protocol::{Event, Failure};
use super::restart::Backoff;
use super::serve::Serving;
use super::start::{Program, Started, after_end, oom_killed, start};
use super::state::{State, Status};
use crate::error::{Context, Error, Result};
use crate::network::helper::Ending;
use crate::runtime::cgroup;
use crate::state::events::{self, Named};
use crate::sys::signal::SignalFd;

/// Starts the container, stays until its end, and tells `client` and everybody who attached about it.
pub(super) fn live(mut launch: Launch<'_>, mut client: Client) {
    let _inhabited = launch.place.inhabit();
    let notifier = launch.notify.take().map(|manager| Notifier::new(&manager, launch.place)).transpose();
    let begun = notifier.and_then(|notifier| Ok((start(&mut launch, 0)?, signals()?, notifier)));
    let (started, signals, notifier) = match begun {
        Ok(begun) => begun,
        Err(error) => return stillborn(launch, &mut client, error),
    };
    for warning in &started.warnings {
        let _ = client.send_event(&Event::Warning(warning.as_bytes()));
    }
    let mut clients = Vec::new();
    // With its end the input ends, whether it has written anything or not.
    client.feeds = launch.attached && launch.interactive && launch.terminal.is_none();
    if client.send_event(&Event::Started).is_ok() && rustix::io::ioctl_fionbio(&client, true).is_ok() {
        clients.push(client);
    }
    let subject = Subject {
        spec: launch.spec,
        maps: launch.maps,
        seccomp: launch.seccomp,
        record: &launch.place.record,
        events: launch.events,
    };
    let held = launch.held;
    let mut serving = Serving {
        program: started.program,
        clients,
        listener: started.listener,
        signals,
        stop_signal: launch.stop_signal,
        place: launch.place,
        lock: None,
        kept: None,
        spec: launch.spec,
        state: started.state,
        halted: false,
        stopped: false,
        again: false,
        deadline: launch.timeout.filter(|_| !held).map(|time| Instant::now() + time),
        stop_timeout: launch.stop_timeout,
        clock: if held { None } else { subject.clock(&launch.terms) },
        subject,
        notifier,
        terms: launch.terms.clone(),
        reload: launch.reload,
        timeout: launch.timeout,
        timed_out: false,
    };
    match held {
        true => note(launch.events, &serving.terms.named, &[("init", None)]),
        false => {
            serving.notifier.iter().for_each(Notifier::started);
            let begun = [("init", None), ("start", None), ("attach", None)];
            note(launch.events, &serving.terms.named, &begun[..if launch.attached { 3 } else { 2 }]);
        }
    }
    let (code, ending) = laps(&mut launch, &mut serving);
    let Serving { clients, listener, state, place, lock, kept: _kept, .. } = serving;
    (launch.place, launch.lock) = (place, lock.unwrap_or(launch.lock));
    drop(listener);
    // A start that follows makes a socket of its own.
    let _ = std::fs::remove_file(launch.place.attach_socket());
    let finished = finish(&launch, &state);
    leave_exit_code(&launch.lock, Some(code));
    let Some(removal) = launch.removal.filter(|_| finished.is_ok()) else {
        drop(launch);
        return clients::stay(clients::tell_end(clients, code));
    };
    let behind = clients::tell_end(clients, code);
    drop(ending);
    // What cannot be removed now is swept by the next listing.
    let _ = (removal.clear)(&launch.lock);
    drop(launch);
    clients::stay(behind);
}

/// A launch that fails has nobody else to tell.
fn stillborn(mut launch: Launch<'_>, client: &mut Client, error: Error) {
    let state = State { error: error.to_string(), ..std::mem::take(&mut launch.state) };
    let _ = std::fs::remove_file(launch.place.attach_socket());
    let cleared = |()| launch.removal.map_or(Ok(()), |removal| (removal.clear)(&launch.lock));
    let gone = finish(&launch, &state).and_then(cleared);
    leave_exit_code(&launch.lock, Some(error.kind().exit_code()));
    drop(launch);
    let error = match gone {
        Ok(()) => error,
        Err(second) => error.hint(second.to_string()),
    };
    let failure = Failure::encode(&error);
    let _ = client.send_event(&Event::Error(&failure));
}

fn signals() -> Result<SignalFd> {
    SignalFd::new(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, home::CALL])
        .context(|| "cannot receive signals")
}

/// From the program's first instruction to its last end; answers its exit code, and what of its network is still to end.
fn laps<'a>(launch: &mut Launch<'a>, serving: &mut Serving<'a>) -> (u8, Option<Ending>) {
    let mut backoff = Backoff::default();
    loop {
        let begin = Instant::now();
        let code = serving.run();
        serving.clock = None;
        // What it said at its very end.
        serving.notifier.iter().for_each(Notifier::pass_on);
        let ending = ended(serving, code);
        after_end(launch.place, launch.spec).iter().for_each(|warning| serving.warn(warning));
        note(launch.events, &serving.terms.named, &[("died", Some(code))]);
        // What was asked for before the program ended counts, also when it has not been heard yet.
        serving.listen();
        loop {
            let wanted = serving.terms.restart.wants(serving.state.exit_code, serving.state.restarts);
            if serving.halted || !(wanted || std::mem::take(&mut serving.again)) {
                serving.state.stopped = serving.stopped;
                // With --rm that is the removal.
                if launch.removal.is_none() {
                    note(launch.events, &serving.terms.named, &[("cleanup", None)]);
                }
                return (serving.state.exit_code, ending);
            }
            serving.state.status = Status::Restarting;
            // Whoever looks meanwhile sees an ended container whose monitor still lives.
            let _ = serving.state.store(&launch.place.record);
            if !serving.rest(backoff.next(begin.elapsed())) {
                serving.state.status = Status::Exited;
                continue;
            }
            note(launch.events, &serving.terms.named, &[("restart", None)]);
            match again(launch, serving) {
                Ok(()) => break,
                Err(error) => {
                    serving.state.restarts += 1;
                    serving.state.exit_code = error.kind().exit_code();
                    serving.state.error = error.to_string();
                    serving.state.finished_at = Some(Timestamp::now());
                }
            }
        }
        note(launch.events, &serving.terms.named, &[("init", None), ("start", None)]);
    }
}

/// Starts the program once more, for the same clients.
fn again<'a>(launch: &mut Launch<'a>, serving: &mut Serving<'a>) -> Result<()> {
    let Fresh { rootfs, shm, join, network } = (launch.renew)()?;
    launch.place = serving.place;
    launch.shm = shm;
    (launch.rootfs, launch.join, launch.network) = (rootfs, join, Some(network));
    launch.terms = serving.terms.clone();
    // Under the same numbers.
    launch.ports = Cow::Owned(serving.state.ports.clone());
    let Started { program, state, warnings, .. } = start(launch, serving.state.restarts + 1)?;
    (serving.program, serving.state) = (program, state);
    serving.deadline = launch.timeout.map(|time| Instant::now() + time);
    serving.timed_out = false;
    serving.clock = serving.subject.clock(&serving.terms);
    warnings.iter().for_each(|warning| serving.warn(warning));
    Ok(())
}

/// The program has ended: its connections go, the state says so.
fn ended(serving: &mut Serving<'_>, code: u8) -> Option<Ending> {
    let Serving { program: Program { connection, .. }, state, .. } = serving;
    // The helper and the forwarder end with it.
    let ending = connection.end();
    if let Some(path) = state.cgroup.take() {
        state.oom_killed = oom_killed(&path);
        // Its processes have ended; what is left of it is empty.
        let _ = cgroup::remove(&path);
    }
    state.status = Status::Exited;
    (state.pid, state.pid_start) = (0, 0);
    state.exit_code = code;
    state.finished_at = Some(Timestamp::now());
    ending
}

/// Makes the container unknown or writes its last state.
fn finish(launch: &Launch<'_>, state: &State) -> Result<()> {
    match launch.removal {
        Some(removal) => (removal.forget)(&launch.lock, state.finished_at.is_some().then_some(state.exit_code)),
        None => State { monitor: 0, ..state.clone() }.store(&launch.place.record),
    }
}

/// Notes what has happened to the container.
pub(super) fn note(directory: &Path, named: &Named<'_>, happened: &[(&str, Option<u8>)]) {
    let event = |&(status, exit_code)| events::Event { exit_code, ..named.event(status) };
    events::append(directory, &happened.iter().map(event).collect::<Vec<_>>());
}
