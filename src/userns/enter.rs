//! Runs code of ours inside a mapped user namespace, in a forked child: unpacking layers so that files carry mapped
//! owners, removing files that belong to subordinate ids, mounting. This process itself stays where it is.
//!
//! ```text
//! parent                                child
//! fork ────────────────────────────────▶ unshare(user, mount)
//!        ◀── 1 byte: unshared, or errno ──
//! newuidmap ∥ newgidmap
//!        ── 1 byte: mapped ─────────────▶ private mounts, die with the parent, run the closure
//! ```

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{IdMaps, mapping};
use crate::error::{Context, Error, Kind, Result};
use crate::sys::namespace;
use crate::sys::process::{Child, Fork, exit_now, fork};

/// Exit code of a child whose closure panicked or that could not be set up after it was mapped.
const BROKEN: u8 = 255;

/// Runs `f` as root of a new user and mount namespace and brings its result back. For a single-threaded process.
pub(crate) fn run<T: Serialize + DeserializeOwned>(maps: &IdMaps, f: impl FnOnce() -> Result<T>) -> Result<T> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context(|| "cannot make a pipe")?;
    let child = spawn(maps, || {
        let answer = f().map_err(|e| Failure::from(&e));
        match serde_json::to_vec(&answer).map(|bytes| File::from(writer).write_all(&bytes)) {
            Ok(Ok(())) => 0,
            _ => BROKEN,
        }
    })?;
    let mut answer = Vec::new();
    let read = File::from(reader).read_to_end(&mut answer);
    let code = child.wait().context(|| "cannot wait for the process in the user namespace")?;
    read.context(|| "cannot read the answer from the user namespace")?;
    if code != 0 {
        return Err(Error::new(format!("the process in the user namespace ended with code {code}")));
    }
    serde_json::from_slice::<Result<T, Failure>>(&answer)
        .context(|| "cannot understand the answer from the user namespace")?
        .map_err(Error::from)
}

/// Runs `f` in a child that is root of a new user and mount namespace and dies with this process; the child ends with
/// the code that `f` returns. For a single-threaded process; the child may start threads.
pub(crate) fn spawn(maps: &IdMaps, f: impl FnOnce() -> u8) -> Result<Child> {
    let failed = || "cannot enter a user namespace";
    let (unshared, their_unshared) = pipe_with(PipeFlags::CLOEXEC).context(failed)?;
    let (their_go, go) = pipe_with(PipeFlags::CLOEXEC).context(failed)?;
    let parent = getpid();
    match fork().context(failed)? {
        Fork::Child => {
            // A descriptor kept open here would hide the parent's end.
            drop((unshared, go));
            exit_now(child(parent, their_unshared, their_go, f))
        }
        Fork::Parent(child) => {
            drop((their_unshared, their_go));
            match prepare(&child, maps, unshared, go) {
                Ok(()) => Ok(child),
                Err(e) => {
                    // The go pipe is closed by now, so the child ends by itself.
                    let _ = child.wait();
                    Err(e)
                }
            }
        }
    }
}

/// Moves this process itself into a new user and mount namespace, as root of it; nobody stays behind. A forked helper,
/// still outside, has the ids mapped. For a single-threaded process.
pub(crate) fn this_process(maps: &IdMaps) -> Result<()> {
    let failed = || "cannot enter a user namespace";
    let (their_go, go) = pipe_with(PipeFlags::CLOEXEC).context(failed)?;
    let (answer, their_answer) = pipe_with(PipeFlags::CLOEXEC).context(failed)?;
    let target = getpid();
    let helper = match fork().context(failed)? {
        Fork::Child => {
            drop((go, answer));
            let mapped = File::from(their_go)
                .read_exact(&mut [0])
                .context(failed)
                .and_then(|()| mapping::start(target, maps)?.finish())
                .map_err(|e| Failure::from(&e));
            let told = serde_json::to_vec(&mapped).map(|bytes| File::from(their_answer).write_all(&bytes));
            exit_now(if matches!(told, Ok(Ok(()))) { 0 } else { BROKEN })
        }
        Fork::Parent(child) => child,
    };
    drop((their_go, their_answer));
    let unshared = namespace::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS);
    let mut text = Vec::new();
    if unshared.is_ok() {
        File::from(go).write_all(&[1]).context(failed)?;
        File::from(answer).read_to_end(&mut text).context(failed)?;
    } else {
        drop(go);
    }
    helper.wait().context(failed)?;
    unshared.map_err(refused)?;
    serde_json::from_slice::<Result<(), Failure>>(&text).context(failed)?.map_err(Error::from)?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).context(failed)
}

/// The parent's side: wait for the namespace, map it, let the child go.
fn prepare(child: &Child, maps: &IdMaps, unshared: OwnedFd, go: OwnedFd) -> Result<()> {
    let mut answer = [0; 4];
    File::from(unshared).read_exact(&mut answer).context(|| "cannot enter a user namespace")?;
    match i32::from_ne_bytes(answer) {
        0 => {}
        code => return Err(refused(Errno::from_raw_os_error(code))),
    }
    mapping::start(child.pid, maps)?.finish()?;
    File::from(go).write_all(&[1]).context(|| "cannot start the process in the user namespace")
}

/// Why a new user namespace was refused, with what usually helps.
pub(crate) fn refused(errno: Errno) -> Error {
    let error = Error::wrap("cannot make a user namespace", std::io::Error::from(errno));
    match errno {
        Errno::NOSPC => error.hint("raise the limit: sysctl user.max_user_namespaces"),
        Errno::PERM | Errno::ACCESS => error
            .hint("allow unprivileged user namespaces: sysctl kernel.unprivileged_userns_clone=1 (Debian, old kernels)")
            .hint("or kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for rpod (Ubuntu)")
            .hint("inside another container its seccomp profile must allow unshare and mount"),
        Errno::INVAL => error.hint("the kernel has no user namespaces, or this process is inside a chroot"),
        _ => error,
    }
}

fn child(parent: rustix::process::Pid, unshared: OwnedFd, go: OwnedFd, f: impl FnOnce() -> u8) -> u8 {
    let result = namespace::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS);
    let code = result.err().map_or(0, Errno::raw_os_error);
    if File::from(unshared).write_all(&code.to_ne_bytes()).is_err() || code != 0 {
        return BROKEN;
    }
    if File::from(go).read_exact(&mut [0]).is_err() {
        return BROKEN;
    }
    // Mounts made on the host later may still arrive here; none of ours goes there.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    if mount_change("/", slave).is_err() || set_parent_process_death_signal(Some(Signal::KILL)).is_err() {
        return BROKEN;
    }
    // The parent may have ended before the signal was asked for.
    if getppid() != Some(parent) {
        return BROKEN;
    }
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(BROKEN)
}

/// An [`Error`] on its way through a pipe: the chain flattened to text.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    kind: u8,
    text: String,
    hints: Vec<String>,
}

const KINDS: [Kind; 5] = [Kind::General, Kind::CannotInvoke, Kind::ProgramNotFound, Kind::NoSuchObject, Kind::Conflict];

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let kind = KINDS.iter().position(|kind| *kind == error.kind()).and_then(|i| u8::try_from(i).ok()).unwrap_or(0);
        Self { kind, text: error.to_string(), hints: error.hints().to_vec() }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = KINDS.get(usize::from(failure.kind)).copied().unwrap_or_default();
        failure.hints.into_iter().fold(Self::new(failure.text).with_kind(kind), Self::hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_pipe() {
        let error = Error::wrap("cannot a", Error::new("b")).with_kind(Kind::Conflict).hint("do c");
        let bytes = serde_json::to_vec(&Failure::from(&error)).expect("encodes");
        let back = Error::from(serde_json::from_slice::<Failure>(&bytes).expect("decodes"));
        assert_eq!(back.to_string(), "cannot a: b");
        assert_eq!(back.kind(), Kind::Conflict);
        assert_eq!(back.hints(), ["do c"]);
    }
}
