//! Hooks of the OCI runtime Spec (config.md, "POSIX-platform Hooks"): programs that run at certain moments of a container's
//! life, with its state as JSON (runtime.md, "State") on their standard input.
//!
//! | hooks | when | in the namespaces of | a failure |
//! |---|---|---|---|
//! | prestart, createRuntime | everything is mounted, the root not yet entered | the runtime | ends the container |
//! | createContainer | after those | the container, whose root is still the host's | ends the container |
//! | startContainer | when the program is about to be executed, as its user | the container | ends the container |
//! | poststart | the program runs | the runtime | is a warning |
//! | poststop | it has ended, also by a failed start | the runtime | is a warning |
//!
//! Those in the container's namespaces are children of its first process, which runs them between two operations of its
//! plan and allocates nothing for it ([`run`]). What a hook writes is shown when it fails. A Spec without hooks costs a look
//! at an empty field.

pub(super) mod run;

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use oci_spec::runtime as oci;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::Pid;
use serde_json::json;

use super::Bundle;
use super::plan::Plan;
use super::protocol::{self, Kind};
use crate::error::{Context, Error, Kind as ErrorKind, Result};
use crate::sys::exec::Strings;
use run::Ended;

/// The container as its hooks know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub id: &'a str,
    /// The directory of its `config.json`.
    pub bundle: &'a Path,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// In the Spec's order.
    fn of(self, hooks: &oci::Hooks) -> &[oci::Hook] {
        let list = match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::CreateContainer => hooks.create_container(),
            Self::StartContainer => hooks.start_container(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}

/// A hook in the form in which it is executed.
#[derive(Debug)]
pub(super) struct Hook {
    stage: Stage,
    path: CString,
    arguments: Strings,
    environment: Strings,
    timeout: Option<Duration>,
}

impl Hook {
    fn compile(stage: Stage, hook: &oci::Hook) -> Result<Self> {
        let shown = hook.path().display();
        if !hook.path().is_absolute() {
            return Err(Error::new(format!("the {} hook {shown} is not an absolute path", stage.name())));
        }
        let timeout = match hook.timeout() {
            None => None,
            Some(seconds @ 1..) => Some(Duration::from_secs(seconds.unsigned_abs())),
            Some(_) => return Err(Error::new(format!("the timeout of the hook {shown} is not a number of seconds"))),
        };
        let text = |text: &str| CString::new(text).context(|| format!("the hook {shown} has a zero byte"));
        let texts = |list: &[String]| list.iter().map(|item| text(item)).collect::<Result<Vec<_>>>();
        let path = hook.path().to_str().ok_or_else(|| Error::new(format!("the hook {shown} is not valid UTF-8")))?;
        let arguments = hook.args().clone().filter(|args| !args.is_empty()).unwrap_or_else(|| vec![path.to_owned()]);
        Ok(Self {
            stage,
            path: text(path)?,
            arguments: Strings::new(texts(&arguments)?),
            environment: match hook.env() {
                Some(env) => Strings::new(texts(env)?),
                None => Strings::new(inherited()),
            },
            timeout,
        })
    }

    /// What a failure means to the person; of the kind that Podman makes of it.
    pub(super) fn failure(&self, ended: Ended, output: Option<OwnedFd>) -> Error {
        let what = format!("the {} hook {} failed", self.stage.name(), self.path.to_string_lossy());
        let why = match ended {
            Ended::NotRun(errno) => {
                return Error::wrap(what, std::io::Error::from(errno)).with_kind(ErrorKind::CannotInvoke);
            }
            Ended::TimedOut => format!("it did not end within {} s", self.timeout.unwrap_or_default().as_secs()),
            Ended::Exited(code) => format!("exit code {code}"),
        };
        let error = Error::wrap(what, Error::new(why)).with_kind(ErrorKind::CannotInvoke);
        match output.map(File::from).and_then(last_line) {
            Some(line) => error.hint(format!("its last words: {line}")),
            None => error,
        }
    }
}

/// A hook that names no environment has that of whoever started the container, as with runc and crun.
fn inherited() -> Vec<CString> {
    let variables = std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    variables.filter_map(|variable| CString::new(variable).ok()).collect()
}

/// The last line that is not empty, of what was written.
fn last_line(mut output: File) -> Option<String> {
    const SHOWN: i64 = 2000;
    let _ = output.seek(SeekFrom::End(-SHOWN)).or_else(|_| output.rewind().map(|()| 0));
    let mut bytes = Vec::new();
    output.take(SHOWN.unsigned_abs()).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

/// The hooks of some stages, in this order.
pub(super) fn compile<const N: usize>(spec: &oci::Spec, stages: [Stage; N]) -> Result<Vec<Hook>> {
    let Some(hooks) = spec.hooks() else { return Ok(Vec::new()) };
    let of = |stage: Stage| stage.of(hooks).iter().map(move |hook| Hook::compile(stage, hook));
    stages.into_iter().flat_map(of).collect()
}

/// The state of a container, as a file to be read by its hooks. `pid`: 0 for none.
fn document(spec: &oci::Spec, subject: Subject<'_>, status: &str, pid: i32) -> Result<OwnedFd> {
    let mut state = json!({
        "ociVersion": spec.version(), "id": subject.id, "status": status, "bundle": subject.bundle,
        "annotations": spec.annotations(),
        // crun's addition, which hooks have come to rely on.
        "root": spec.root().as_ref().map(oci::Root::path),
    });
    if pid != 0 {
        state["pid"] = pid.into();
    }
    let what = || "cannot write the container's state for its hooks";
    let mut file = File::from(memfd_create(c"rpod-state", MemfdFlags::CLOEXEC).context(what)?);
    file.write_all(state.to_string().as_bytes()).context(what)?;
    Ok(file.into())
}

fn subject<'a>(bundle: &Bundle<'a>) -> Result<Subject<'a>> {
    bundle.subject.ok_or_else(|| Error::new("this container cannot have hooks"))
}

/// The number by which the container itself knows its first process (proc_pid_status(5), NSpid).
fn inner_pid(pid: Pid) -> i32 {
    let pid = pid.as_raw_nonzero().get();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    pids.split_whitespace().last().and_then(|text| text.parse().ok()).unwrap_or(pid)
}

/// The caller's part of what happens before the root is entered: its own hooks, then the word for the container's.
pub(super) fn before_pivot(
    channel: &OwnedFd,
    plan: &Plan,
    bundle: &Bundle<'_>,
    pid: Pid,
    warnings: &mut Vec<String>,
) -> Result<()> {
    super::create::expect(channel, plan, Kind::Hooked, warnings)?;
    let subject = subject(bundle)?;
    let own = document(bundle.spec, subject, "creating", pid.as_raw_nonzero().get())?;
    compile(bundle.spec, [Stage::Prestart, Stage::CreateRuntime])?
        .iter()
        .try_for_each(|hook| here(hook, own.as_fd()))?;
    let theirs = document(bundle.spec, subject, "creating", inner_pid(pid))?;
    protocol::send(channel, Kind::Go, 0, 0, Some(theirs.as_fd())).context(|| "cannot reach the container's process")
}

/// Runs a hook in this process's namespaces.
fn here(hook: &Hook, state: BorrowedFd<'_>) -> Result<()> {
    let output = run::output().context(|| "cannot run a hook")?;
    match run::run(hook, state, output.as_fd()) {
        Ended::Exited(0) => Ok(()),
        ended => Err(hook.failure(ended, Some(output))),
    }
}

/// What a created container's hooks need when it is started.
#[derive(Debug)]
pub(super) struct Later {
    /// For those that run in the container.
    pub created: OwnedFd,
    running: OwnedFd,
    hooks: Vec<Hook>,
}

impl Later {
    /// `None` without hooks.
    pub(super) fn of(bundle: &Bundle<'_>, pid: Pid) -> Result<Option<Self>> {
        if bundle.spec.hooks().is_none() {
            return Ok(None);
        }
        let subject = subject(bundle)?;
        Ok(Some(Self {
            created: document(bundle.spec, subject, "created", inner_pid(pid))?,
            running: document(bundle.spec, subject, "running", pid.as_raw_nonzero().get())?,
            hooks: compile(bundle.spec, [Stage::Poststart])?,
        }))
    }

    /// The program runs. Answers warnings.
    pub(super) fn started(&self) -> Vec<String> {
        all_here(&self.hooks, self.running.as_fd())
    }
}

/// The container has ended, or could not be made. Answers warnings.
pub(crate) fn after_end(spec: &oci::Spec, subject: Subject<'_>) -> Vec<String> {
    let run = || -> Result<Vec<String>> {
        let hooks = compile(spec, [Stage::Poststop])?;
        match hooks[..] {
            [] => Ok(Vec::new()),
            _ => Ok(all_here(&hooks, document(spec, subject, "stopped", 0)?.as_fd())),
        }
    };
    run().unwrap_or_else(|error| vec![error.to_string()])
}

fn all_here(hooks: &[Hook], state: BorrowedFd<'_>) -> Vec<String> {
    hooks.iter().filter_map(|hook| here(hook, state).err()).map(|error| error.to_string()).collect()
}
