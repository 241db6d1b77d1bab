//! `--sdnotify`: telling a service manager that the container is up (sd_notify(3)).
//!
//! The manager knows the monitor as the main process, since the container's own processes have other numbers outside. With
//! `container` the program gets a socket of its own in /run/notify, and what it says there is passed on.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::error::{Context, Result};

/// Where the program finds the socket.
pub(crate) const DIRECTORY: &str = "/run/notify";
pub(crate) const SOCKET: &str = "/run/notify/notify.sock";

/// Who says that the container is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The program.
    #[default]
    Container,
    /// The monitor, as soon as the program runs.
    Conmon,
    /// The monitor, at the first successful health check.
    Healthy,
    Ignore,
}

impl Mode {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Container, Self::Conmon, Self::Healthy, Self::Ignore].into_iter().find(|mode| mode.as_str() == text)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Conmon => "conmon",
            Self::Healthy => "healthy",
            Self::Ignore => "ignore",
        }
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A manager that waits to hear something.
#[derive(Debug)]
pub(crate) struct Manager {
    pub mode: Mode,
    /// As $NOTIFY_SOCKET has it: a path, or an abstract name behind `@`.
    pub socket: OsString,
}

impl Manager {
    /// The one that started this process, if it wants to hear anything.
    pub(crate) fn of_environment(mode: Mode) -> Option<Self> {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty() && mode != Mode::Ignore)?;
        Some(Self { mode, socket })
    }
}

/// The directory that is mounted in the container.
pub(crate) fn directory(place: &Place) -> PathBuf {
    place.runtime.join("notify")
}

/// The line to the manager.
#[derive(Debug)]
pub(super) struct Notifier {
    mode: Mode,
    line: UnixDatagram,
    to: SocketAddr,
    /// What the program says.
    program: Option<UnixDatagram>,
}

impl Notifier {
    pub(super) fn new(manager: &Manager, place: &Place) -> Result<Self> {
        let what = || format!("cannot tell {} that the container is ready", manager.socket.display());
        let line = UnixDatagram::unbound().context(what)?;
        let program = match manager.mode {
            Mode::Container => Some(listen(&directory(place)).context(what)?),
            _ => None,
        };
        Ok(Self { mode: manager.mode, line, to: address(&manager.socket).context(what)?, program })
    }

    /// The program runs.
    pub(super) fn started(&self) {
        let ready = if self.mode == Mode::Conmon { "\nREADY=1" } else { "" };
        self.say(format!("MAINPID={}{ready}", std::process::id()).as_bytes());
    }

    /// A health check has succeeded.
    pub(super) fn healthy(&self) {
        if self.mode == Mode::Healthy {
            self.say(b"READY=1");
        }
    }

    /// Readable when the program has said something.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.program.as_ref().map(AsFd::as_fd)
    }

    /// Passes on what the program has said, but for what is about its own process numbers and descriptors.
    pub(super) fn pass_on(&self) {
        let mut buffer = [0; 4096];
        while let Some(Ok(length)) = self.program.as_ref().map(|program| program.recv(&mut buffer)) {
            const OWN: [&[u8]; 4] = [b"MAINPID", b"FDSTORE", b"FDNAME", b"BARRIER"];
            let lines = buffer[..length].split(|byte| *byte == b'\n');
            let lines: Vec<&[u8]> = lines.filter(|line| !OWN.iter().any(|own| line.starts_with(own))).collect();
            let text = lines.join(&b'\n');
            if !text.is_empty() {
                self.say(&text);
            }
        }
    }

    /// A manager that is gone hears nothing.
    fn say(&self, text: &[u8]) {
        let _ = self.line.send_to_addr(text, &self.to);
    }
}

fn address(socket: &OsStr) -> std::io::Result<SocketAddr> {
    match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(Path::new(socket)),
    }
}

/// The program may be anybody in the container.
fn listen(directory: &Path) -> std::io::Result<UnixDatagram> {
    use std::os::fd::AsRawFd;
    let path = directory.join("notify.sock");
    // Left by an earlier start.
    let _ = std::fs::remove_file(&path);
    // Addresses of sockets are short (unix(7)), paths may be long.
    let opened = std::fs::File::open(directory)?;
    let socket = UnixDatagram::bind(format!("/proc/self/fd/{}/notify.sock", opened.as_raw_fd()))?;
    socket.set_nonblocking(true)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))?;
    Ok(socket)
}
