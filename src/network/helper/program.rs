//! Helper programs: where they are, and one that runs.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, MemfdFlags, SealFlags, access};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{Context, Error, Result};

/// Where distributions put helpers; not every user has the sbin directories in PATH.
const PLACES: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/libexec/podman:/usr/lib/podman";

/// What a helper may say on standard error before it is cut off.
const SAID: u64 = 16 * 1024;

/// A helper that was started. Dropped, it is killed and reaped.
#[derive(Debug)]
pub(super) struct Started {
    pub name: &'static str,
    pub pid: Pid,
    pub pidfd: OwnedFd,
    /// Our end of the pipe that ties the helper's life to ours.
    pub tie: OwnedFd,
    said: std::fs::File,
}

/// The path of a helper.
pub(super) fn find(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).chain(std::env::split_paths(PLACES));
    let executable = |file: &PathBuf| access(file, Access::EXEC_OK).is_ok() && file.is_file();
    places.map(|dir| dir.join(name)).find(executable).ok_or_else(|| {
        let package = if name == "pasta" { "passt" } else { name };
        Error::new(format!("cannot connect the container to the network: {name} is not installed"))
            .hint(format!("Install the package {package}, for example: sudo apt install {package}"))
    })
}

/// Both helpers need the tap driver.
pub(super) fn check_tun() -> Result<()> {
    access("/dev/net/tun", Access::READ_OK | Access::WRITE_OK).map_err(|e| {
        Error::wrap("cannot connect the container to the network: /dev/net/tun cannot be used", e)
            .hint("As root: modprobe tun; chmod 666 /dev/net/tun")
            .hint("Inside another container, that one must be started with --device /dev/net/tun")
    })
}

/// Starts a helper. `keep` are descriptors it names in its arguments; `tie` is our end of a pipe it has.
pub(super) fn start(name: &'static str, mut command: Command, keep: &[&OwnedFd], tie: OwnedFd) -> Result<Started> {
    let what = || format!("cannot start {name}");
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let said = rustix::fs::memfd_create(name, flags).context(what)?;
    rustix::fs::ftruncate(&said, SAID).context(what)?;
    rustix::fs::fcntl_add_seals(&said, SealFlags::GROW | SealFlags::SHRINK).context(what)?;
    command.stderr(Stdio::from(said.try_clone().context(what)?));
    // The user's environment has nothing to say to them, and without it they load no locale.
    command.env_clear();
    for variable in ["PATH", "LD_LIBRARY_PATH"] {
        command.envs(std::env::var_os(variable).map(|value| (variable, value)));
    }
    let inherited = Inherited::new(keep).context(what)?;
    let child = command.spawn();
    drop(inherited);
    let child = child.context(what)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| Error::new(what()))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context(what)?;
    Ok(Started { name, pid, pidfd, tie, said: said.into() })
}

/// Descriptors without close-on-exec, for as long as this lives. Only for a process with one thread.
struct Inherited<'a>(&'a [&'a OwnedFd]);

impl<'a> Inherited<'a> {
    fn new(fds: &'a [&'a OwnedFd]) -> rustix::io::Result<Self> {
        for fd in fds {
            fcntl_setfd(fd, fcntl_getfd(fd)? - FdFlags::CLOEXEC)?;
        }
        Ok(Self(fds))
    }
}

impl Drop for Inherited<'_> {
    fn drop(&mut self) {
        for fd in self.0 {
            // Fails only for descriptors that are not open.
            let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
        }
    }
}

impl Started {
    /// An error from what the helper said.
    pub(super) fn failure(&self, what: &str) -> Error {
        let said = self.said();
        let error = Error::new(if said.is_empty() {
            format!("cannot connect the container to the network: {} {what} without saying why", self.name)
        } else {
            format!("cannot connect the container to the network: {} {what}: {said}", self.name)
        });
        if said.contains("unrecognized option") || said.contains("invalid option") {
            return error.hint(format!("The installed {} is too old for this option", self.name));
        }
        error
    }

    /// The helper's messages on one line, without its chatter.
    fn said(&self) -> String {
        let mut bytes = vec![0; SAID as usize];
        let length = self.said.read_at(&mut bytes, 0).unwrap_or(0);
        bytes.truncate(length);
        summary(&String::from_utf8_lossy(&bytes))
    }
}

/// What both helpers print although nothing is wrong.
const CHATTER: &[&str] = &[
    "sent tapfd=",
    "received tapfd=",
    "WARNING: Support for ",
    "do_slirp is exiting",
    "do_slirp failed",
    "parent failed",
    "exitfd event",
    "Starting slirp",
    "No external routable interface for IPv6",
    "Usage:",
];

fn summary(text: &str) -> String {
    let lines = text.split(['\n', '\0']).map(str::trim).filter(|line| !line.is_empty());
    let told = lines.filter(|line| !CHATTER.iter().any(|noise| line.starts_with(noise)));
    // The reason comes first; a usage text may follow.
    told.take(3)
        .map(|line| line.chars().filter(|c| !c.is_control()).take(300).collect::<String>())
        .collect::<Vec<_>>()
        .join("; ")
}

/// Whether a program knows a long option: its name is somewhere in the file. Asking with `--help` takes it 3 ms.
pub(super) fn mentions(program: &Path, option: &str) -> bool {
    // One that cannot be read says nothing against it, but is not asked for what it may not know.
    let file = std::fs::read(program).unwrap_or_default();
    file.windows(option.len()).any(|bytes| bytes == option.as_bytes())
}

/// A pipe, both ends close-on-exec.
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context(|| "cannot make a pipe for the network helper")
}

/// A descriptor of this process as a path for the helper that inherits it.
pub(super) fn inherited_path(fd: &impl AsFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_kept_and_the_chatter_is_not() {
        for (said, expected) in [
            ("sent tapfd=5 for tap0\nreceived tapfd=5\nsetegid(0)\ndo_slirp failed\nparent failed\n\0\0", "setegid(0)"),
            ("", ""),
            ("\0\0\0", ""),
            ("a\n\x1b[31mb\nc\nd\n", "a; [31mb; c"),
        ] {
            assert_eq!(summary(said), expected);
        }
    }
}
