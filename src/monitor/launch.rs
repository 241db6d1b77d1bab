//! A monitor of its own for each container: what it is given, and its birth.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use oci_spec::runtime::Spec;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::client::Client;
use super::notify::Manager;
use super::place::Place;
use super::state::State;
use super::terms::{Reload, Terms};
use super::{clients, life, log};
use crate::error::{Context, Result};
use crate::network::helper::Prepared;
use crate::network::ports::PortMapping;
use crate::runtime::cgroup::Wish;
use crate::runtime::{Given, Join, Rootfs};
use crate::state::lock::Lock;
use crate::sys::detach::leave_caller;
use crate::sys::process::{Fork, exit_now, fork};
use crate::sys::seccomp::Filter;
use crate::sys::tty::Size;
use crate::userns::IdMaps;

/// Everything a container's start needs; plain data and what the caller has opened.
pub(crate) struct Launch<'a> {
    pub place: &'a Place,
    /// Held by the monitor from now on.
    pub lock: Lock,
    pub spec: &'a Spec,
    pub maps: Option<&'a IdMaps>,
    /// Those of the namespace that it is in, new or joined.
    pub ids: Option<&'a IdMaps>,
    pub rootfs: Rootfs,
    /// Another container's /dev/shm.
    pub shm: Option<OwnedFd>,
    pub init: bool,
    /// Another runtime that makes the container.
    pub crun: Option<&'a Path>,
    pub join: Vec<Join>,
    pub seccomp: Option<&'a Filter>,
    pub cgroup: &'a Wish,
    /// `None` once it is under way.
    pub network: Option<Prepared>,
    pub ports: Cow<'a, [PortMapping]>,
    /// With a terminal, its first size.
    pub terminal: Option<Size>,
    /// Standard input is a pipe that clients feed, not /dev/null.
    pub interactive: bool,
    pub log: &'a log::Options,
    pub stop_signal: i32,
    /// Where the numbers of the container's first process and of the monitor are written.
    pub pidfiles: [Option<&'a Path>; 2],
    /// What the container was before.
    pub state: State,
    /// Removes the container after its end (`--rm`).
    pub removal: Option<Removal<'a>>,
    /// Makes anew what a start uses up.
    pub renew: &'a Renew<'a>,
    /// The program is killed after this time.
    pub timeout: Option<Duration>,
    /// The directory of the host's events.
    pub events: &'a Path,
    pub terms: Terms<'a>,
    pub reload: &'a Reload<'a>,
    /// Its first client stays connected.
    pub attached: bool,
    /// The program waits until a client lets it run.
    pub held: bool,
    /// A service manager that waits for the container.
    pub notify: Option<Manager>,
    /// The caller's standard streams, which the program uses as its own (`--log-driver passthrough`).
    pub inherited: Option<[OwnedFd; 3]>,
    /// What else of the caller's the program gets, by number.
    pub given: &'a [Given],
    /// How long a program that is asked to end is waited for.
    pub stop_timeout: Duration,
}

/// What every start of a container needs afresh.
pub(crate) struct Fresh {
    pub rootfs: Rootfs,
    pub shm: Option<OwnedFd>,
    pub join: Vec<Join>,
    pub network: Prepared,
}

pub(crate) type Renew<'a> = dyn Fn() -> Result<Fresh> + 'a;

/// How a container whose lock is held is removed.
#[derive(Clone, Copy)]
pub(crate) struct Removal<'a> {
    /// Ends its existence for everybody.
    pub forget: &'a Forget<'a>,
    /// Removes what is left on the disk.
    pub clear: &'a Remove<'a>,
}

type Remove<'a> = dyn Fn(&Lock) -> Result<()> + 'a;
/// With the exit code of the program, if that ran.
type Forget<'a> = dyn Fn(&Lock, Option<u8>) -> Result<()> + 'a;

/// Forks the monitor, which starts the container. The client hears `Started` or `Error` from it.
///
/// For a single-threaded process. What the caller printed must have been flushed.
pub(crate) fn launch(launch: Launch<'_>) -> Result<Client> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .context(|| "cannot make a socket for the container's monitor")?;
    match fork().context(|| "cannot start the container's monitor")? {
        Fork::Parent(_) => Ok(Client::new(ours)),
        Fork::Child => {
            drop(ours);
            leave_caller(super::MONITOR);
            life::live(launch, clients::Client::new(theirs));
            exit_now(0)
        }
    }
}
