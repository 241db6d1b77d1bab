//! Another process in a running container: joined by the command itself, no monitor in between. One that may go on without
//! the command has a keeper ([`super::session`]).

use std::os::fd::{AsFd, OwnedFd};

use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, User};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::options::environment::Environment;
use super::preserved::Preserved;
use super::record::Config;
use super::relay::{End, Outputs, Relay};
use super::session::{self, Caller, Session};
use super::store::Container;
use super::{lifecycle, start};
use crate::error::{Context, Error, Kind, Result};
use crate::monitor::protocol::Event;
use crate::monitor::state::{State, Status};
use crate::runtime::cgroup;
use crate::runtime::{self, Stdio, Target};
use crate::spec::capabilities::CapSet;
use crate::spec::user;
use crate::state::events;
use crate::state::paths::Dirs;
use crate::storage::LayerView;
use crate::sys::detach::leave_caller;
use crate::sys::tty::Size;
use crate::sys::{memory, prctl};

/// Largest passwd or group file that is read.
const ACCOUNT_FILE_LIMIT: u64 = 4 << 20;

/// What to run, as asked for.
#[derive(Debug)]
pub(crate) struct ExecOptions {
    pub command: Vec<String>,
    pub environment: Environment,
    pub user: Option<String>,
    pub workdir: Option<String>,
    pub interactive: bool,
    /// With a terminal, its first size.
    pub terminal: Option<Size>,
    pub privileged: bool,
    /// The process goes on when this one ends.
    pub detach: bool,
    /// What leaves it alone, with a terminal; empty: nothing does.
    pub detach_keys: Vec<u8>,
    /// What it gets beside its standard streams.
    pub preserved: Preserved,
}

/// What became of the process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Executed {
    Exited(u8),
    /// It goes on; the session's id.
    Detached(String),
}

/// Starts the process and, unless it is detached, stays connected with it.
pub(crate) fn exec(
    dirs: &Dirs,
    container: &Container,
    options: &ExecOptions,
    warn: &mut dyn FnMut(&str),
) -> Result<Executed> {
    let state = container.state(dirs)?;
    let Some(init) = lifecycle::init(&state).filter(|_| state.status == Status::Running) else {
        return Err(not_running());
    };
    let job = Job { dirs, container, options, state, init };
    let detachable = options.terminal.is_some() && options.interactive && !options.detach_keys.is_empty();
    if options.detach {
        let (client, _keeper) = session::keep(|caller| job.detached(&caller))?;
        let id = client.wait_session(warn)?;
        return Ok(Executed::Detached(id));
    }
    if detachable && rustix::termios::isatty(std::io::stdin()) {
        let (client, keeper) = session::keep(|caller| job.detachable(&caller))?;
        let left = || Executed::Detached(String::new());
        return Ok(session::follow(&client, &keeper, warn)?.map_or_else(left, Executed::Exited));
    }
    let (pid, mut relay) = job.start(warn)?;
    let session = job.show(pid)?;
    let end = relay.run();
    session.hide(&container.place);
    match end? {
        End::Exited(code) => {
            job.note("exec_died", Some(code));
            Ok(Executed::Exited(code))
        }
        End::Detached => Err(Error::new("the process was left without a keeper")),
    }
}

fn not_running() -> Error {
    Error::new("can only create exec sessions on running containers: container state improper")
        .with_kind(Kind::Conflict)
}

/// One `exec`.
struct Job<'a> {
    dirs: &'a Dirs,
    container: &'a Container,
    options: &'a ExecOptions,
    state: State,
    init: OwnedFd,
}

impl Job<'_> {
    /// Starts the process, as a child of this one. A container that ends meanwhile is one that does not run.
    fn start(&self, warn: &mut dyn FnMut(&str)) -> Result<(i32, Relay)> {
        let ended = || lifecycle::has_ended(&self.init);
        self.join(warn).map_err(|error| if ended() { not_running() } else { error })
    }

    fn join(&self, warn: &mut dyn FnMut(&str)) -> Result<(i32, Relay)> {
        let (options, state) = (self.options, &self.state);
        let config = self.container.config()?;
        let process = process(&config, options)?;
        let seccomp = if options.privileged { None } else { start::seccomp(&config.spec)? };
        let mut spec = config.spec;
        if options.privileged {
            // Nothing of the filter is to be loaded, so the plan must not ask for it.
            let mut linux = spec.linux().clone().unwrap_or_default();
            linux.set_seccomp(None);
            spec.set_linux(Some(linux));
        }
        let (stdio, input, outputs) = streams(options)?;
        let open = |path: &std::path::PathBuf| {
            rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .context(|| format!("cannot open the container's cgroup {}", path.display()))
        };
        let reachable = state.cgroup.as_deref().is_none_or(cgroup::is_reachable);
        let at = state.cgroup.as_ref().map(|path| cgroup::of_process(state.pid, path));
        let cgroup = at.as_ref().filter(|_| reachable).map(open).transpose()?;
        let target = Target {
            pidfd: self.init.as_fd(),
            spec: &spec,
            maps: config.maps.as_ref(),
            enters_user: runtime::enters_user(state.pid),
            cgroup: cgroup.as_ref().map(AsFd::as_fd),
            attach: at.as_deref().filter(|_| !reachable),
            seccomp: seccomp.as_ref(),
            // It ends with its parent: this command, or its keeper.
            detach: false,
            given: &options.preserved.given,
        };
        let child = runtime::exec(&target, &process, &stdio)?;
        // Our copies of its ends would keep its pipes open.
        drop(stdio);
        child.warnings.iter().for_each(|warning| warn(warning));
        self.note("exec", None);
        let outputs = match (child.console, outputs) {
            (Some(master), _) => Outputs::Console(master),
            (None, Some((stdout, stderr))) => Outputs::Pipes { stdout, stderr },
            (None, None) => return Err(Error::new("the runtime made no terminal")),
        };
        let (interactive, detach_keys) = (options.interactive, options.detach_keys.clone());
        Ok((child.pid, Relay { pidfd: child.pidfd, outputs, input, interactive, detach_keys }))
    }

    /// A keeper's life with `-d`.
    fn detached(&self, caller: &Caller) {
        leave_caller(c"rpod-exec");
        let mut warn = |text: &str| caller.tell(&Event::Warning(text.as_bytes()));
        let started = self.start(&mut warn).and_then(|(pid, relay)| Ok((self.remember(pid)?, relay)));
        match started {
            Ok((session, relay)) => {
                caller.tell(&Event::Session(session.id.as_bytes()));
                self.abandon(session, relay);
            }
            Err(error) => caller.fail(&error),
        }
    }

    /// A keeper's life with a terminal that may be left.
    fn detachable(&self, caller: &Caller) {
        let _ = prctl::die_with_parent();
        let mut warn = |text: &str| caller.tell(&Event::Warning(text.as_bytes()));
        let (pid, mut relay) = match self.start(&mut warn) {
            Ok(started) => started,
            Err(error) => return caller.fail(&error),
        };
        let shown = self.show(pid);
        let end = relay.run();
        if let (Ok(session), false) = (&shown, matches!(end, Ok(End::Detached))) {
            session.hide(&self.container.place);
        }
        match end {
            Ok(End::Exited(code)) => {
                self.note("exec_died", Some(code));
                caller.tell(&Event::Exit(code));
            }
            Ok(End::Detached) => {
                let _ = prctl::outlive_parent();
                let kept = shown.and_then(|session| session.store(&self.container.place).map(|()| session));
                match kept {
                    Ok(session) => {
                        caller.tell(&Event::Detached);
                        leave_caller(c"rpod-exec");
                        self.abandon(session, relay);
                    }
                    Err(error) => caller.fail(&error),
                }
            }
            Err(error) => caller.fail(&error),
        }
    }

    /// A session that is known while this process waits for it.
    fn show(&self, pid: i32) -> Result<Session> {
        let session = Session::new(&self.options.command, pid)?;
        session.show(&self.container.place);
        Ok(session)
    }

    fn remember(&self, pid: i32) -> Result<Session> {
        let session = Session::new(&self.options.command, pid)?;
        session.store(&self.container.place)?;
        Ok(session)
    }

    /// Stays until the process has ended.
    fn abandon(&self, session: Session, relay: Relay) {
        memory::trim();
        let code = relay.abandon();
        session.ended(&self.container.place, code);
        self.note("exec_died", Some(code));
    }

    fn note(&self, status: &str, exit_code: Option<u8>) {
        let event = events::Event { exit_code, ..self.container.record.named().event(status) };
        events::append(&events::directory(self.dirs), &[event]);
    }
}

/// The container's own process with another command.
fn process(config: &Config, options: &ExecOptions) -> Result<Process> {
    let mut process = config.spec.process().clone().ok_or_else(|| Error::new("the container's Spec has no process"))?;
    process.set_args(Some(options.command.clone()));
    process.set_terminal(options.terminal.is_some().then_some(true));
    let mut env = process.env().clone().unwrap_or_default();
    let mut set = |name: &str, value: &str| {
        env.retain(|variable| variable.split('=').next() != Some(name));
        env.push(format!("{name}={value}"));
    };
    if options.terminal.is_some() {
        set("TERM", "xterm");
    }
    options.environment.set.iter().for_each(|(name, value)| set(name, value));
    process.set_env(Some(env));
    if let Some(dir) = options.workdir.as_deref().filter(|dir| !dir.is_empty()) {
        if !dir.starts_with('/') {
            return Err(Error::new(format!("the working directory {dir:?} is not an absolute path")));
        }
        process.set_cwd(dir.into());
    }
    if let Some(wanted) = &options.user {
        process.set_user(identity(config, wanted, process.user())?);
    }
    if options.user.is_some() || options.privileged {
        let capabilities = capabilities(&process, options.privileged)?;
        process.set_capabilities(Some(capabilities));
    }
    Ok(process)
}

/// `--user`, looked up in the container's files as they are now.
fn identity(config: &Config, wanted: &str, own: &User) -> Result<User> {
    let view = LayerView::new(&config.rootfs.directories())?;
    let read = |path| -> Result<String> {
        let content = view.read_file(path, ACCOUNT_FILE_LIMIT)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&content).into_owned())
    };
    let found = user::resolve(wanted, &[], &read("etc/passwd")?, &read("etc/group")?)?.identity;
    let mut user = own.clone();
    let others: Vec<u32> = found.groups.into_iter().filter(|gid| *gid != found.gid).collect();
    user.set_uid(found.uid).set_gid(found.gid);
    user.set_additional_gids(Some(others).filter(|groups| !groups.is_empty()));
    Ok(user)
}

/// What the container may have at most, in effect for root only; everything with `--privileged`.
fn capabilities(process: &Process, privileged: bool) -> Result<LinuxCapabilities> {
    let mut sets = process.capabilities().clone().unwrap_or_default();
    if privileged {
        let names = CapSet::all(last_capability()?).names();
        let all: Capabilities = names
            .into_iter()
            .map(|name| name.parse().context(|| format!("cannot put the capability {name} into a Spec")))
            .collect::<Result<_>>()?;
        sets.set_bounding(Some(all));
    }
    let effective = if process.user().uid() == 0 || privileged { sets.bounding().clone() } else { None };
    sets.set_effective(effective.clone()).set_permitted(effective);
    sets.set_inheritable(None).set_ambient(None);
    Ok(sets)
}

fn last_capability() -> Result<u32> {
    let path = "/proc/sys/kernel/cap_last_cap";
    let text = std::fs::read_to_string(path).context(|| format!("cannot read {path}"))?;
    text.trim().parse().context(|| format!("cannot understand {path}"))
}

/// The process's standard streams, our end of its input, and our ends of its outputs.
type Streams = (Stdio, Option<OwnedFd>, Option<(Option<OwnedFd>, Option<OwnedFd>)>);

fn streams(options: &ExecOptions) -> Result<Streams> {
    if let Some(Size { rows, columns }) = options.terminal {
        return Ok((Stdio::Terminal { rows, cols: columns }, None, None));
    }
    let pipe = || pipe_with(PipeFlags::CLOEXEC).context(|| "cannot make a pipe");
    let null = || {
        rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).context(|| "cannot open /dev/null")
    };
    let (stdin, input) = if options.interactive && !options.detach {
        let (stdin, input) = pipe()?;
        (stdin, Some(input))
    } else {
        (null()?, None)
    };
    if options.detach {
        return Ok((Stdio::Pipes { stdin, stdout: null()?, stderr: null()? }, None, Some((None, None))));
    }
    let ((out, stdout), (err, stderr)) = (pipe()?, pipe()?);
    Ok((Stdio::Pipes { stdin, stdout, stderr }, input, Some((Some(out), Some(err)))))
}
