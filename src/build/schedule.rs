//! Stages as processes: each begins when what it needs is done, independent ones side by side. A process that starts
//! containers has one thread, so every stage has a process of its own, which dies with this one.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Signal, getpid, getppid, kill_process_group, pidfd_send_signal, set_parent_process_death_signal, setpgid,
};

use super::event::{Outcome, Receiver, Reporter, Sender, StageFailure};
use super::plan::Plan;
use super::remote_cache::Steps;
use super::stage::{self, Build};
use super::state::State;
use crate::error::{Context, Error, Result};
use crate::sys::process::{Child, Fork, exit_now, fork};
use crate::sys::signal::{self, SignalFd};
use crate::userns::enter::Failure;

/// What ends a build; everything of it is removed before this process goes.
const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
/// What is heard while stages are at work.
const HEARD: [i32; 4] = [ENDING[0], ENDING[1], ENDING[2], libc::SIGWINCH];

struct Running {
    stage: usize,
    child: Child,
    pipe: OwnedFd,
    receiver: Receiver,
}

/// Builds every stage of the plan; answers the target and the steps of all, or how the first one failed.
pub(crate) fn run(
    build: &Build<'_>,
    plan: &Plan,
    reporter: &mut dyn Reporter,
) -> Result<std::result::Result<(State, Steps), StageFailure>> {
    let mut waiting: BTreeSet<usize> = (0..plan.stages.len()).filter(|index| plan.stages[*index].is_some()).collect();
    let mut done: BTreeMap<usize, State> = BTreeMap::new();
    let mut running: Vec<Running> = Vec::new();
    let mut failed = None;
    let signals = SignalFd::new(&HEARD).context(|| "cannot receive signals")?;
    while failed.is_none() && (!waiting.is_empty() || !running.is_empty()) {
        while running.len() < build.request.jobs.max(1) {
            let ready = waiting.iter().copied().find(|index| {
                plan.stages[*index]
                    .as_ref()
                    .is_some_and(|stage| stage.needs().iter().all(|need| done.contains_key(need)))
            });
            let Some(index) = ready else { break };
            waiting.remove(&index);
            running.push(start(build, plan, index, &done)?);
        }
        if running.is_empty() {
            return Err(Error::new("the stages need each other in a circle"));
        }
        let ready = wait(&running, &signals, reporter.tick())?;
        match signals.next() {
            Some(libc::SIGWINCH) => reporter.resized(),
            Some(signal) => {
                failed = Some(interrupted(signal));
                continue;
            }
            None => {}
        }
        for index in ready.into_iter().rev() {
            if !read(&mut running[index], reporter)? {
                continue;
            }
            let Running { stage, child, receiver, .. } = running.swap_remove(index);
            let code = child.wait().context(|| "cannot wait for a stage")?;
            match receiver.outcome {
                Some(Outcome::Done(state)) => {
                    done.insert(stage, *state);
                }
                Some(Outcome::Failed(failure)) => {
                    reporter.failed(stage);
                    failed = Some(failure);
                }
                None => return Err(Error::new(format!("the process of a stage ended with code {code}"))),
            }
        }
    }
    for Running { child, .. } in running {
        // An error means that it has ended, or has no group yet.
        let _ = kill_process_group(child.pid, Signal::KILL);
        let _ = pidfd_send_signal(&child.pidfd, Signal::KILL);
        let _ = child.wait();
    }
    match failed {
        Some(failure) => Ok(Err(failure)),
        None => {
            let steps = done.values().flat_map(|state| state.steps.clone()).collect();
            let target = done.remove(&plan.target).ok_or_else(|| Error::new("the target stage was not built"))?;
            Ok(Ok((target, steps)))
        }
    }
}

fn start(build: &Build<'_>, plan: &Plan, index: usize, done: &BTreeMap<usize, State>) -> Result<Running> {
    let failed = || "cannot start the process of a stage";
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context(failed)?;
    let parent = getpid();
    match fork().context(failed)? {
        Fork::Child => {
            drop(reader);
            // The parent may have ended before the signal was asked for.
            if set_parent_process_death_signal(Some(Signal::KILL)).is_err() || getppid() != Some(parent) {
                exit_now(1);
            }
            // A group of its own, so that the programs it runs can be ended with it.
            let _ = setpgid(None, None);
            let mut sender = Sender::new(writer);
            let ended = plan.stages[index].as_ref().map(|stage| stage::run(build, stage, done, &mut sender));
            exit_now(u8::from(!matches!(ended, Some(Ok(())))))
        }
        Fork::Parent(child) => Ok(Running { stage: index, child, pipe: reader, receiver: Receiver::default() }),
    }
}

fn interrupted(signal: i32) -> StageFailure {
    let error = Error::new(format!("the build was interrupted by {}", signal::name(signal)));
    StageFailure { error: Failure::from(&error), lines: None, code: u8::try_from(128 + signal).ok() }
}

/// Those that have something to say; also returns when a signal has come or the time is over.
fn wait(running: &[Running], signals: &SignalFd, time: Option<Duration>) -> Result<Vec<usize>> {
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    loop {
        let pipes = running.iter().map(|stage| PollFd::new(&stage.pipe, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = pipes.chain([PollFd::new(signals, PollFlags::IN)]).collect();
        match poll(&mut fds, time.as_ref()) {
            Ok(_) => {
                let ready = fds[..running.len()].iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty());
                return Ok(ready.map(|(index, _)| index).collect());
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(Error::wrap("cannot wait for the stages", std::io::Error::from(e))),
        }
    }
}

/// Whether the stage has said everything.
fn read(running: &mut Running, reporter: &mut dyn Reporter) -> Result<bool> {
    let mut buffer = vec![0u8; 64 << 10];
    match rustix::io::read(&running.pipe, &mut buffer[..]) {
        Ok(0) => Ok(true),
        Ok(length) => running.receiver.take(&buffer[..length], running.stage, reporter).map(|()| false),
        Err(Errno::INTR) => Ok(false),
        Err(e) => Err(Error::wrap("cannot hear a stage", std::io::Error::from(e))),
    }
}
