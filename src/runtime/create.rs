//! The caller's side: clone, map, and understand what the child reports.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

use super::child::{self, State};
use super::hook::run::Ended;
use super::hook::{self, Later};
use super::nested::Nested;
use super::plan::{self, Op, Plan};
use super::protocol::{self, Kind, Message, STEP_EXECUTE};
use super::{Bundle, Created, Given, Hooks, Init, Join, Netdev, Rootfs, Stdio, fuse, ops, trampoline};
use crate::error::{Context, Error, Kind as ErrorKind, Result};
use crate::sys::clone::{Cloned, clone};
use crate::sys::process::exit_now;
use crate::sys::{keyring, message, namespace, prctl};
use crate::userns::{enter, mapping};

/// Makes the container's process up to the point where it waits to become the program. For a single-threaded process.
pub(crate) fn create(bundle: Bundle<'_>, hooks: &mut dyn Hooks) -> Result<Created> {
    let plan = plan::compile(&bundle)?;
    let joins = joins(&bundle)?;
    let nested = Nested::of(&bundle)?;
    let process = Process {
        plan: &plan,
        nested: nested.as_ref(),
        join: bundle
            .join
            .iter()
            .map(|j| (j.fd.as_fd(), j.kinds))
            .chain(joins.iter().map(|j| (j.fd.as_fd(), j.kinds)))
            .collect(),
        mapped: bundle.maps.is_none(),
        cgroup: bundle.cgroup.as_ref().map(AsFd::as_fd),
        netdev: bundle.netdev,
        shm: bundle.shm.as_ref().map(AsFd::as_fd),
        given: bundle.given,
        stdio: &bundle.stdio,
    };
    let unkeyed = leave_keyring();
    let (pid, pidfd, channel) = process.start()?;
    let mut guard = Guard { init: Some(Init { pid, pidfd, link: None }), channel };
    let (mut console, mut warnings) = (None, Vec::from_iter(unkeyed));
    let mut result = bring_up(&mut guard, &plan, &bundle, hooks, &mut console, &mut warnings);
    if bundle.held {
        result = result.and_then(|()| ready(&guard.channel, &plan, &mut warnings));
    }
    if let Err(e) = result {
        return Err(guard.explain(&plan, e));
    }
    let later = match guard.init.as_ref().map_or(Ok(None), |init| Later::of(&bundle, init.pid)) {
        Ok(later) => later.map(Box::new),
        Err(e) => return Err(guard.explain(&plan, e)),
    };
    let Guard { init, channel } = guard;
    let Some(Init { pid, pidfd, .. }) = init else { return Err(Error::new("the container's process is gone")) };
    let mut plan = plan;
    warnings.append(&mut plan.warnings);
    Ok(Created {
        pid,
        pidfd,
        console,
        warnings,
        guard: None,
        rest: Some(super::Rest::Own { channel, plan: Box::new(plan), later }),
    })
}

/// Keeps the keys of the caller's login session (Kerberos tickets, keys of encrypted file systems) from programs that are
/// not the user's own. Answers a warning when that is not possible.
pub(super) fn leave_keyring() -> Option<String> {
    let errno = keyring::join_new_session().err()?;
    Some(format!(
        "the container can use the keys of your session: no keyring can be made for it: {errno} \
         (kernel.keys.maxkeys limits how many a user has)"
    ))
}

/// The namespaces that the Spec names by path.
fn joins(bundle: &Bundle<'_>) -> Result<Vec<Join>> {
    let namespaces = bundle.spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten());
    let mut joins = Vec::new();
    for namespace in namespaces {
        if let Some(path) = namespace.path() {
            let file = std::fs::File::open(path).context(|| format!("cannot open the namespace {}", path.display()))?;
            joins.push(Join { fd: file.into(), kinds: plan::kind(namespace.typ())? });
        }
    }
    // The user namespace first: it is what gives the right to enter those it owns.
    joins.sort_by_key(|join| join.kinds != libc::CLONE_NEWUSER);
    Ok(joins)
}

pub(super) fn bring_up(
    guard: &mut Guard,
    plan: &Plan,
    bundle: &Bundle<'_>,
    hooks: &mut dyn Hooks,
    console: &mut Option<OwnedFd>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let Some(init) = &mut guard.init else { return Ok(()) };
    // In another's user namespace the ids have been mapped already.
    let maps = bundle.maps.filter(|_| bundle.parent.is_none());
    let pending = maps.map(|maps| mapping::start(init.pid, maps)).transpose()?;
    if bundle.netdev.is_some() {
        init.link = expect(&guard.channel, plan, Kind::Device, warnings)?.fd;
    }
    hooks.cloned(init)?;
    if let Some(pending) = pending {
        pending.finish()?;
    }
    let mount = match &bundle.rootfs {
        Rootfs::FuseOverlayfs { lower, upper, work, program } => {
            Some(fuse::mount(init.pidfd.as_fd(), lower, upper, work, program)?)
        }
        _ => None,
    };
    if bundle.maps.is_some() {
        let mount = mount.as_ref().map(AsFd::as_fd);
        protocol::send(&guard.channel, Kind::Mapped, 0, 0, mount).map_err(|_| gone())?;
    }
    hooks.mapped(init)?;
    if plan.hooked {
        hook::before_pivot(&guard.channel, plan, bundle, init.pid, warnings)?;
    }
    if matches!(bundle.stdio, Stdio::Terminal { .. }) {
        *console = expect(&guard.channel, plan, Kind::Console, warnings)?.fd;
    }
    Ok(())
}

/// Waits until the child has made everything.
fn ready(channel: &OwnedFd, plan: &Plan, warnings: &mut Vec<String>) -> Result<()> {
    loop {
        match protocol::receive(channel).context(|| "cannot hear the container's process")? {
            Some(message) if message.kind == Kind::Ready => return Ok(()),
            Some(message) if message.kind == Kind::Warning => warnings.push(warning(plan, &message)),
            Some(message) if message.kind == Kind::Failed => return Err(failure(plan, message)),
            _ => return Err(gone()),
        }
    }
}

fn warning(plan: &Plan, message: &Message) -> String {
    let errno = std::io::Error::from_raw_os_error(message.value);
    format!("{}: {errno}", plan.describe(message.step as usize))
}

/// The next message but for warnings, which must be of this kind.
pub(super) fn expect(channel: &OwnedFd, plan: &Plan, kind: Kind, warnings: &mut Vec<String>) -> Result<Message> {
    loop {
        match protocol::receive(channel).context(|| "cannot hear the container's process")? {
            Some(message) if message.kind == kind => return Ok(message),
            Some(message) if message.kind == Kind::Warning => warnings.push(warning(plan, &message)),
            Some(message) if message.kind == Kind::Failed => return Err(failure(plan, message)),
            _ => return Err(gone()),
        }
    }
}

fn gone() -> Error {
    Error::new("the container's process ended while it was being set up")
}

/// What is needed to start a process that follows a plan.
pub(super) struct Process<'a> {
    pub plan: &'a Plan,
    pub nested: Option<&'a Nested<'a>>,
    pub join: Vec<(BorrowedFd<'a>, i32)>,
    pub mapped: bool,
    pub cgroup: Option<BorrowedFd<'a>>,
    pub netdev: Option<&'a Netdev<'a>>,
    pub shm: Option<BorrowedFd<'a>>,
    pub given: &'a [Given],
    pub stdio: &'a Stdio,
}

impl Process<'_> {
    /// Clones; the child never returns from here. Answers the caller's end of the channel.
    pub(super) fn start(&self) -> Result<(Pid, OwnedFd, OwnedFd)> {
        let (channel, theirs) = message::pair().context(|| "cannot make a socket pair")?;
        let trampoline = trampoline::sealed()?;
        let mut state = State {
            plan: self.plan,
            channel: theirs.as_fd(),
            trampoline: trampoline.as_fd(),
            netdev: self.netdev,
            given: self.given,
            streams: match self.stdio {
                Stdio::Pipes { stdin, stdout, stderr } => Some([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]),
                Stdio::Terminal { .. } => None,
            },
            slots: std::iter::repeat_with(|| None).take(self.plan.slots).collect(),
            root: None,
            received: None,
            null: None,
            empty: None,
            mapped: self.mapped,
            document: None,
            step: 0,
        };
        if let (Some(slot), Some(shm)) = (self.plan.shm, self.shm) {
            state.slots[slot] = Some(shm.try_clone_to_owned().context(|| "cannot keep a mount")?);
        }
        debug_assert!(crate::sys::process::becomes_single_threaded(), "clone with more than one thread");
        // A channel of its own for the go-between: the process it makes may be heard before it is.
        let between = match self.join.is_empty() && self.nested.is_none() {
            true => None,
            false => Some(message::pair().context(|| "cannot make a socket pair")?),
        };
        let (namespaces, cgroup) = if between.is_some() { (0, None) } else { (self.plan.namespaces, self.cgroup) };
        match clone(namespaces, cgroup) {
            // A panic must not unwind into the child's copy of the caller.
            Ok(Cloned::Child) => {
                // With a copy of the caller's end it would wait for ever for a caller that was killed.
                drop(channel);
                let work = || match (&between, self.nested) {
                    (Some((_, between)), Some(nested)) => nested.go_between(self, &mut state, between),
                    (Some((_, between)), None) => self.go_between(&mut state, between),
                    (None, _) => child::run(&mut state),
                };
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                exit_now(125)
            }
            Ok(Cloned::Parent(pid, pidfd)) => {
                // Or the end of the child would not be seen.
                drop(theirs);
                let (pid, pidfd) = match between {
                    Some((between, theirs)) => {
                        drop(theirs);
                        adopt(&between, &pidfd)?
                    }
                    None => (pid, pidfd),
                };
                Ok((pid, pidfd, channel))
            }
            Err(e) => Err(enter::refused(e)),
        }
    }

    /// Enters the namespaces and clones the process as a sibling: a pid namespace is entered by children only, and the
    /// process must be the caller's own child. Not dumpable before anything is entered.
    fn go_between(&self, state: &mut State<'_>, caller: &OwnedFd) -> ! {
        // While /proc is still the host's and this process's file in it still its own.
        if let Some(score) = &self.plan.oom_score {
            let written = ops::write_oom_score(score);
            if let Err(e) = written {
                let _ = protocol::send(caller, Kind::Failed, 0, e.raw_os_error(), None);
                exit_now(0);
            }
        }
        let result = prctl::set_not_dumpable()
            .and_then(|()| self.join.iter().try_for_each(|(fd, kinds)| namespace::setns(*fd, *kinds)))
            .and_then(|()| clone(self.plan.namespaces | libc::CLONE_PARENT as u64, self.cgroup));
        // Errors in here mean that the caller has gone.
        let _ = match result {
            Ok(Cloned::Child) => child::run(state),
            Ok(Cloned::Parent(pid, _)) => protocol::send(caller, Kind::Pid, 0, pid.as_raw_nonzero().get(), None),
            Err(e) => protocol::send(caller, Kind::Failed, 0, e.raw_os_error(), None),
        };
        exit_now(0)
    }
}

/// The process that a go-between made.
fn adopt(between: &OwnedFd, go_between: &OwnedFd) -> Result<(Pid, OwnedFd)> {
    let failed = || "cannot enter the container's namespaces";
    let message = protocol::receive(between).context(failed)?;
    wait(go_between);
    match message {
        Some(Message { kind: Kind::Pid, value, .. }) => {
            let pid = Pid::from_raw(value).ok_or_else(gone)?;
            // It is our child and not waited for yet, so the number cannot mean another process.
            Ok((pid, pidfd_open(pid, PidfdFlags::empty()).context(failed)?))
        }
        Some(message) => Err(Error::wrap(failed(), std::io::Error::from_raw_os_error(message.value))),
        None => Err(gone()),
    }
}

/// The process until it is handed out: killed and reaped when something fails.
pub(super) struct Guard {
    pub init: Option<Init>,
    pub channel: OwnedFd,
}

impl Guard {
    /// The child's own words outweigh what the caller saw of them (a closed socket).
    pub(super) fn explain(&mut self, plan: &Plan, error: Error) -> Error {
        let Some(init) = self.init.take() else { return error };
        kill(&init.pidfd);
        while let Ok(Some(message)) = protocol::receive(&self.channel) {
            if message.kind == Kind::Failed {
                return failure(plan, message);
            }
        }
        error
    }
}

/// Kills and reaps; both fail only when there is nothing left to do.
pub(super) fn kill(pidfd: &OwnedFd) {
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
    wait(pidfd);
}

pub(super) fn wait(pidfd: &OwnedFd) {
    exit_status(pidfd);
}

/// Reaps a child: its exit code as a shell shows it.
pub(super) fn exit_status(pidfd: &OwnedFd) -> u8 {
    loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) => return crate::sys::process::exit_code(&status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(_) => return 255,
        }
    }
}

/// Sends the go, with the state for hooks that there may be, and waits until the program runs.
pub(super) fn start(
    channel: impl AsFd,
    plan: &Plan,
    pidfd: &OwnedFd,
    state: Option<BorrowedFd<'_>>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    // A child that failed has closed its end; what it said is still there to be read.
    let _ = protocol::send(channel.as_fd(), Kind::Go, 0, 0, state);
    loop {
        match protocol::receive(channel.as_fd()).context(|| "cannot hear the container's process")? {
            None => return Ok(()),
            Some(message) if message.kind == Kind::Failed => {
                wait(pidfd);
                return Err(failure(plan, message));
            }
            Some(message) if message.kind == Kind::Warning => {
                warnings.push(warning(plan, &message));
            }
            Some(_) => {}
        }
    }
}

/// What a failed step means to the person.
fn failure(plan: &Plan, message: Message) -> Error {
    if let Some(Op::Hook(hook)) = plan.ops.get(message.step as usize) {
        return hook.failure(Ended::from_number(message.value), message.fd);
    }
    let errno = Errno::from_raw_os_error(message.value);
    let source = std::io::Error::from(errno);
    if message.step == STEP_EXECUTE {
        let kind = if errno == Errno::NOENT { ErrorKind::ProgramNotFound } else { ErrorKind::CannotInvoke };
        let name = &plan.process.name;
        let what = match errno {
            Errno::NOENT if !name.contains('/') => format!("executable file {name:?} not found in $PATH"),
            _ => format!("cannot execute {name:?}"),
        };
        return Error::wrap(what, source).with_kind(kind);
    }
    let mut what = plan.describe(message.step as usize);
    if !message.text.is_empty() {
        what = format!("{what}: {}", message.text);
    }
    let kind = match plan.ops.get(message.step as usize) {
        // As Podman answers `exec --workdir` with something that is not there, or cannot be entered.
        Some(Op::Directory { .. } | Op::CopyBelow { .. } | Op::Overlay { .. }) if errno == Errno::NOENT => {
            ErrorKind::ProgramNotFound
        }
        Some(Op::Directory { .. }) => ErrorKind::CannotInvoke,
        _ => ErrorKind::General,
    };
    Error::wrap(what, source).with_kind(kind)
}
