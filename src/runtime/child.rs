//! The code between the clone and the program. It goes through the plan's operations, returns never, and says on the
//! channel which operation failed and why.
//!
//! Before the ids are mapped an operation may fail only because of that: it is tried again afterwards. So whatever the
//! kernel allows early happens while newuidmap runs, and nothing here needs to know what exactly that is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::hook::Hook;
use super::hook::run::{Ended, output, run as run_to_end};
use super::plan::{Op, Plan};
use super::protocol::{self, Kind, STEP_EXECUTE};
use super::{Given, Netdev, ops};
use crate::sys::process::exit_now;
use crate::sys::{exec, prctl};

/// What the operations share.
pub(super) struct State<'a> {
    pub plan: &'a Plan,
    pub channel: BorrowedFd<'a>,
    pub trampoline: BorrowedFd<'a>,
    pub netdev: Option<&'a Netdev<'a>>,
    pub given: &'a [Given],
    /// Standard input, output and error, unless a terminal is to be made.
    pub streams: Option<[BorrowedFd<'a>; 3]>,
    /// Mounts by slot. As long as the plan says, before the clone.
    pub slots: Vec<Option<OwnedFd>>,
    pub root: Option<OwnedFd>,
    /// A root file system mounted by a helper.
    pub received: Option<OwnedFd>,
    /// The host's /dev/null, and an empty read-only directory.
    pub null: Option<OwnedFd>,
    pub empty: Option<OwnedFd>,
    pub mapped: bool,
    /// What hooks read.
    pub document: Option<OwnedFd>,
    /// The number of the operation being carried out.
    pub step: u32,
}

/// Exit code of a process that never became the program; nobody but the caller's error message shows it.
const FAILED: u8 = 125;

/// Carries out the whole plan.
pub(super) fn run(state: &mut State<'_>) -> ! {
    let plan = state.plan;
    let ready = exec::reset_signals().and_then(|()| if state.mapped { prctl::set_not_dumpable() } else { Ok(()) });
    if let Err(e) = ready {
        fail(state, e, "");
    }
    for (step, op) in plan.ops.iter().enumerate() {
        state.step = step as u32;
        match perform(op, state) {
            Ok(()) => {}
            Err((e, text)) => fail(state, e, text),
        }
    }
    // The last operation executes the program.
    fail(state, Errno::NOEXEC, "")
}

type Outcome = Result<(), (Errno, &'static str)>;

fn perform(op: &Op, state: &mut State<'_>) -> Outcome {
    match op {
        Op::Network => return network(state),
        Op::Hook(hook) => return run_hook(hook, state).map_err(|e| (e, "")),
        _ => {}
    }
    let result = ops::perform(op, state);
    if result.is_err() && !state.mapped {
        wait_for_ids(state).map_err(|e| (e, ""))?;
        return ops::perform(op, state).map_err(|e| (e, ""));
    }
    result.map_err(|e| (e, ""))
}

/// Devices are not made twice, so this is not tried again.
fn network(state: &mut State<'_>) -> Outcome {
    let Some(configure) = state.netdev else { return Ok(()) };
    let link = configure().map_err(|(text, e)| (e, text))?;
    protocol::send(state.channel, Kind::Device, 0, 0, Some(link.as_fd())).map_err(|e| (e, ""))
}

/// Blocks until the caller has mapped the ids. From then on the process is not dumpable: the helpers that write the map
/// needed it to be the user's, while the container must get nothing of it (CVE-2019-5736 and its kin).
pub(super) fn wait_for_ids(state: &mut State<'_>) -> Result<(), Errno> {
    if state.mapped {
        return Ok(());
    }
    match protocol::receive(state.channel)? {
        Some(message) if message.kind == Kind::Mapped => state.received = message.fd,
        // The caller has gone, or gave up.
        _ => exit_now(FAILED),
    }
    state.mapped = true;
    prctl::set_not_dumpable()
}

/// Tells the caller that everything is made.
pub(super) fn ready(state: &State<'_>) -> Result<(), Errno> {
    protocol::send(state.channel, Kind::Ready, 0, 0, None)
}

/// Blocks until the caller has run its hooks.
pub(super) fn wait_for_hooks(state: &mut State<'_>) -> Result<(), Errno> {
    protocol::send(state.channel, Kind::Hooked, 0, 0, None)?;
    wait_for_go(state)
}

/// Blocks until the program may run.
pub(super) fn wait_for_go(state: &mut State<'_>) -> Result<(), Errno> {
    match protocol::receive(state.channel)? {
        Some(message) if message.kind == Kind::Go => {
            // An earlier one's number was closed with all others, and may be the new one's.
            std::mem::forget(std::mem::replace(&mut state.document, message.fd));
            Ok(())
        }
        _ => exit_now(FAILED),
    }
}

/// Does not return when the hook has failed: the caller hears how.
fn run_hook(hook: &Hook, state: &State<'_>) -> Result<(), Errno> {
    let document = state.document.as_ref().ok_or(Errno::BADF)?;
    let written = output()?;
    match run_to_end(hook, document.as_fd(), written.as_fd()) {
        Ended::Exited(0) => Ok(()),
        ended => {
            let _ = protocol::send(state.channel, Kind::Failed, state.step, ended.to_number(), Some(written.as_fd()));
            exit_now(FAILED)
        }
    }
}

/// Tells the caller about something that is not as asked for, and goes on.
pub(super) fn warn(state: &State<'_>, errno: Errno) -> Result<(), Errno> {
    protocol::send(state.channel, Kind::Warning, state.step, errno.raw_os_error(), None)
}

fn fail(state: &State<'_>, errno: Errno, text: &str) -> ! {
    let step = if matches!(state.plan.ops.get(state.step as usize), Some(Op::Execute)) {
        STEP_EXECUTE - 1
    } else {
        state.step
    };
    // Without a caller there is nobody to tell.
    let _ = protocol::send_text(state.channel, Kind::Failed, step, errno.raw_os_error(), text, None);
    exit_now(FAILED)
}
