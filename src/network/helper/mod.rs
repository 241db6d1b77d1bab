//! slirp4netns and pasta: found, started at the right moment, watched, and gone with their container.
//!
//! ```text
//! prepare   options → program, arguments, network devices             (no process yet)
//! cloned    keeps the new namespaces open, which a socket from inside leads to: /proc/PID/ns is closed to us once the
//!           process is not dumpable, as one is that has entered another container's user namespace
//! mapped    starts the helper, while the container's first process goes on with its mounts
//! ready     waits: slirp4netns has attached to the tap | pasta has written its pid
//! ```
//!
//! **End of life.** Nothing of a helper outlives the monitor, even when that is killed: slirp4netns polls its
//! standard input (`--exit-fd`), a pipe whose other end only the monitor holds. pasta has nothing of the kind, and entering
//! a user namespace clears a parent-death signal; but its standard output is a pipe with signal-driven I/O (F_SETOWN,
//! F_SETSIG): the kernel kills it when the reader, the monitor, is gone.
//!
//! **Messages.** Standard error is a sealed memfd of fixed size: what a failing helper said becomes the error, and one that
//! talks without end fills neither a pipe nor the disk.

mod bridge;
mod pasta;
mod program;
mod slirp;

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::keeper::Link;
use super::mode::Mode;
use crate::error::{Context, Error, Result};
use crate::runtime::netdev::Setup;
use crate::sys::namespace;
use crate::userns::IdMaps;
use bridge::Bridge;
pub(crate) use bridge::facts as facts_on_bridges;
use program::Started;

/// No helper needs longer to come up, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network mode, ready to be set up for one container.
#[derive(Debug)]
pub(crate) struct Prepared {
    helper: Option<Helper>,
    netdev: Option<Setup>,
    facts: Facts,
    target: Option<Target>,
    started: Option<Started>,
    /// The netkeeper connects the container instead.
    bridge: Option<Bridge>,
}

#[derive(Debug)]
enum Helper {
    Slirp(slirp::Slirp),
    Pasta(pasta::Pasta),
}

/// Addresses that a container's name files and forwarder need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The container's own, as far as they are known before it starts (pasta copies the host's).
    pub container: Vec<IpAddr>,
    /// Where connections from the host's loopback interface seem to come from.
    pub gateways: Vec<IpAddr>,
    /// Name servers that stand for the host's.
    pub dns: Vec<IpAddr>,
    /// `host.containers.internal`; `None`: an address of the host's, if there is one that the container reaches.
    pub host: Option<IpAddr>,
    /// The container has the host's network.
    pub shares_host: bool,
    /// The container is behind a bridge, whose namespace brings answers of published ports back to the forwarder.
    pub bridged: bool,
    /// The domain that containers are in.
    pub domain: Option<&'static str>,
    /// Lines for /etc/hosts (`--link`).
    pub linked: Vec<(IpAddr, String)>,
}

/// The namespaces of a container, kept open.
#[derive(Debug)]
pub(crate) struct Target {
    /// `None`: the caller's own user namespace.
    pub user: Option<OwnedFd>,
    pub net: OwnedFd,
}

/// A network that works. Dropping it ends the helper.
#[derive(Debug)]
pub(crate) struct Running {
    helper: Option<(Helper, Started)>,
    /// Where published ports are forwarded from.
    pub target: Option<Target>,
    bridge: Option<Bridge>,
}

/// Checks that a mode can be set up here, and how.
///
/// # Errors
/// When the helper is not installed, naming the package that has it.
pub(crate) fn prepare(mode: &Mode) -> Result<Prepared> {
    let plain = |netdev, facts| Prepared { helper: None, netdev, facts, target: None, started: None, bridge: None };
    match mode {
        Mode::None => Ok(plain(Some(Setup::new(None)), Facts::default())),
        Mode::Host => Ok(plain(None, Facts { shares_host: true, ..Facts::default() })),
        Mode::Container(_) | Mode::Path(_) => Ok(plain(None, Facts::default())),
        Mode::Bridge(_) => Err(Error::new("a bridge network is connected by the netkeeper")),
        Mode::Slirp4netns(options) => slirp_prepared(program::find("slirp4netns"), options),
        Mode::Pasta(options) => pasta_prepared(program::find("pasta"), options),
        Mode::Private => {
            // slirp4netns is ready in a fraction of pasta's time; it does everything that a container needs by default.
            if let Ok(found) = program::find("slirp4netns") {
                return slirp_prepared(Ok(found), &Default::default());
            }
            match program::find("pasta") {
                Ok(found) => pasta_prepared(Ok(found), &Default::default()),
                Err(_) => Err(Error::new(
                    "cannot connect the container to the network: neither slirp4netns nor pasta is installed",
                )
                .hint("Install slirp4netns, or passt (which contains pasta), for example: sudo apt install slirp4netns")
                .hint("Or do without: --network none has no connection, --network host uses the host's")),
            }
        }
    }
}

/// What the default network is made by.
pub(crate) fn usual() -> &'static str {
    if program::find("slirp4netns").is_ok() { "slirp4netns" } else { "pasta" }
}

fn slirp_prepared(found: Result<std::path::PathBuf>, options: &super::mode::SlirpOptions) -> Result<Prepared> {
    let slirp = slirp::Slirp::new(found?, options)?;
    let (netdev, facts) = (Some(slirp.netdev()), slirp.facts());
    Ok(Prepared { helper: Some(Helper::Slirp(slirp)), netdev, facts, target: None, started: None, bridge: None })
}

fn pasta_prepared(found: Result<std::path::PathBuf>, options: &super::mode::PastaOptions) -> Result<Prepared> {
    let pasta = pasta::Pasta::new(found?, options)?;
    let facts = pasta.facts();
    Ok(Prepared {
        helper: Some(Helper::Pasta(pasta)),
        netdev: Some(Setup::new(None)),
        facts,
        target: None,
        started: None,
        bridge: None,
    })
}

/// A container on bridges, whose addresses the netkeeper has found.
pub(crate) fn bridged(link: Link, linked: Vec<(IpAddr, String)>) -> Prepared {
    let (netdev, facts) = (Some(Setup::new(None)), Facts { linked, ..bridge::facts(&link.order) });
    Prepared { helper: None, netdev, facts, target: None, started: None, bridge: Some(Bridge::new(link)) }
}

impl Prepared {
    /// The user namespace in which the container's is to be made, and its ids; `None`: the caller's own.
    pub(crate) fn parent(&self) -> Option<(BorrowedFd<'_>, &IdMaps)> {
        self.bridge.as_ref().map(Bridge::parent)
    }

    /// The namespaces are these; `link` is what [`Prepared::netdev`] answered in them.
    pub(crate) fn place(&mut self, target: Target, link: Option<OwnedFd>) {
        if let Some(Helper::Slirp(slirp)) = &mut self.helper {
            slirp.link = link;
        }
        self.target = Some(target);
    }

    /// What the container's first process has to configure; `None` without a network namespace of its own.
    pub(crate) fn netdev(&self) -> Option<&Setup> {
        self.netdev.as_ref()
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The namespaces exist and [`Prepared::netdev`] is configured; `link` is what that answered.
    pub(crate) fn cloned(&mut self, link: Option<OwnedFd>) -> Result<()> {
        if self.helper.is_none() && self.bridge.is_none() {
            return Ok(());
        }
        let link = link.ok_or_else(|| Error::new("the container's network was not configured"))?;
        let target = Target::of(&link)?;
        if let Some(bridge) = &mut self.bridge {
            return bridge.wire(target);
        }
        self.target = Some(target);
        if let Some(Helper::Slirp(slirp)) = &mut self.helper {
            slirp.link = Some(link);
        }
        Ok(())
    }

    /// The ids of `pid`, a process of the container, are mapped, as `ids` where that is known: starts the helper. For a
    /// process with one thread.
    pub(crate) fn mapped(&mut self, pid: Pid, ids: Option<&IdMaps>) -> Result<()> {
        let (Some(helper), Some(target)) = (&mut self.helper, &self.target) else { return Ok(()) };
        if let Helper::Slirp(slirp) = helper {
            slirp.sandbox = match ids {
                Some(ids) => ids.host_uid(0).is_some(),
                // Not for a container's own process: where /proc hides other users (hidepid=2) it is hidden as soon as
                // it has changed its ids.
                None => has_root(pid)?,
            };
        }
        self.started = Some(helper.start(target)?);
        Ok(())
    }

    /// Waits until the container can use the network.
    pub(crate) fn ready(self) -> Result<Running> {
        if let Some(mut bridge) = self.bridge {
            return Ok(Running { helper: None, target: Some(bridge.wired()?), bridge: Some(bridge) });
        }
        let helper = self.helper.zip(self.started);
        if let Some((helper, started)) = &helper {
            helper.wait_ready(started)?;
        }
        Ok(Running { helper, target: self.target, bridge: None })
    }
}

impl Helper {
    /// For a process with one thread.
    fn start(&self, target: &Target) -> Result<Started> {
        match self {
            Self::Slirp(slirp) => slirp.start(target),
            Self::Pasta(pasta) => pasta.start(target),
        }
    }

    fn wait_ready(&self, started: &Started) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let sign = match self {
            Self::Slirp(slirp) => slirp.sign()?,
            Self::Pasta(pasta) => pasta.sign(started)?,
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(started.failure("did not come up in time"));
            }
            let mut fds = [PollFd::from_borrowed_fd(sign, PollFlags::IN), PollFd::new(&started.pidfd, PollFlags::IN)];
            let timeout = Timespec::try_from(left).ok();
            match poll(&mut fds, timeout.as_ref()) {
                Err(Errno::INTR) => continue,
                result => result.context(|| "cannot wait for the network")?,
            };
            let [signed, ended] = fds.map(|fd| !fd.revents().is_empty());
            let ready = signed
                && match self {
                    Self::Slirp(_) => crate::sys::netlink::carrier_came(&sign).unwrap_or(true),
                    Self::Pasta(pasta) => pasta.is_ready(started)?,
                };
            if ready {
                return Ok(());
            }
            if ended {
                return Err(started.failure("failed"));
            }
        }
    }
}

impl Running {
    /// Readable once the helper has ended; `None` for a network without one.
    pub(crate) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        let bridge = self.bridge.as_ref().map(Bridge::descriptor);
        bridge.or_else(|| self.helper.as_ref().map(|(_, started)| started.pidfd.as_fd()))
    }

    /// The helper's program.
    pub(crate) fn name(&self) -> &'static str {
        match &self.bridge {
            Some(_) => "the netkeeper",
            None => self.helper.as_ref().map_or("", |(_, started)| started.name),
        }
    }

    /// The user's runtime directory is another one.
    pub(crate) fn moved(&mut self, runtime: &Path) -> Result<()> {
        self.bridge.as_mut().map_or(Ok(()), |bridge| bridge.moved(runtime))
    }

    /// Starts the helper again, in the namespaces as the last one left them. For a process with one thread.
    pub(crate) fn restart(&mut self) -> Result<()> {
        if let Some(bridge) = &mut self.bridge {
            self.target = Some(bridge.again()?);
            return Ok(());
        }
        let (Some((helper, started)), Some(target)) = (&mut self.helper, &self.target) else { return Ok(()) };
        if let Helper::Slirp(slirp) = helper {
            // What the last one's coming and going left to hear.
            while crate::sys::netlink::carrier_came(&slirp.sign()?).unwrap_or(false) {}
        }
        *started = helper.start(target)?;
        helper.wait_ready(started)
    }

    /// Ends the helper without waiting for it: the kernel takes its time with a tap device.
    pub(crate) fn end(self) -> Ending {
        if let Some((_, started)) = &self.helper {
            started.kill();
        }
        Ending(self.helper)
    }

    #[cfg(test)]
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.helper.as_ref().map(|(_, started)| started.pid)
    }
}

/// A helper that was told to end. Dropping it waits for that.
#[derive(Debug)]
pub(crate) struct Ending(#[expect(dead_code, reason = "held for its end")] Option<(Helper, Started)>);

impl Started {
    fn kill(&self) {
        // An error means that it has ended.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.kill();
        while let Err(Errno::INTR) = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {}
    }
}

impl Target {
    /// The namespace that a socket belongs to, and the user namespace that owns it.
    fn of(socket: &OwnedFd) -> Result<Self> {
        let what = || "cannot open the container's network namespace";
        let net = namespace::of_socket(socket.as_fd()).context(what)?;
        let user = namespace::owner(net.as_fd()).context(what)?;
        let own = rustix::fs::stat("/proc/self/ns/user").context(|| "cannot examine /proc/self/ns/user")?;
        let theirs = rustix::fs::fstat(&user).context(|| "cannot examine a user namespace")?;
        let same = (own.st_dev, own.st_ino) == (theirs.st_dev, theirs.st_ino);
        Ok(Self { user: (!same).then_some(user), net })
    }
}

/// Whether a process's user namespace has an id 0 (user_namespaces(7), "uid_map": inside, outside, how many).
fn has_root(pid: Pid) -> Result<bool> {
    let path = format!("/proc/{}/uid_map", pid.as_raw_nonzero());
    let map = std::fs::read_to_string(&path).context(|| format!("cannot read {path}"))?;
    Ok(map.lines().any(|line| line.split_whitespace().next() == Some("0")))
}
