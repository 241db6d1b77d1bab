//! Published ports: listeners on the host, connections made inside the container's namespaces.
//!
//! ```text
//! monitor                     forwarder: forked by it, one thread, ends with it
//! listen (host's namespaces) ─▶ keeps the listeners, enters the container's user and network namespace
//!                               client ──▶ listener ─ splice ─▶ connection bound to the client's address ──▶ service
//! ```
//!
//! **The client's address is kept.** A socket with IP_TRANSPARENT is bound to the client's address and port and connects to
//! the container's address, all within the container's namespace. What the service answers would leave through the tap device;
//! it is brought back by routing (`inside`): TCP by a mark that the service's socket inherits from the SYN (`tcp_fwmark_accept`), so
//! that nothing but these connections is touched; UDP by routes to the clients that there are, for packets from published ports.
//!
//! Clients on the host's loopback interface appear as the network's gateway, never as 127.0.0.1: services trust loopback.

mod inside;
pub(crate) mod listen;
mod serve;
mod tcp;
mod udp;

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use serde::{Deserialize, Serialize};

use super::helper::{Facts, Target};
use super::ports::{PortMapping, Protocol};
use crate::error::{Context, Error, Result};
use crate::sys::process::{Child, Fork, exit_now, fork};

/// Sockets that wait for clients.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// The mappings, random host ports filled in.
    pub mappings: Vec<PortMapping>,
    sockets: Vec<Listener>,
}

#[derive(Debug)]
struct Listener {
    socket: OwnedFd,
    address: SocketAddr,
    protocol: Protocol,
    container_port: u16,
}

/// A forwarder at work. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Forwarder {
    child: Child,
    /// It reports here that it forwards, or why it does not, and hears of other addresses.
    channel: OwnedFd,
}

/// Where a container is now, as its forwarder is told.
#[derive(Debug, Serialize, Deserialize)]
struct Addresses {
    container: Vec<IpAddr>,
    gateways: Vec<IpAddr>,
}

impl Listeners {
    /// Starts forwarding to a container, in a process of its own. For a process with one thread.
    pub(crate) fn serve(self, target: &Target, facts: &Facts) -> Result<Forwarder> {
        let what = || "cannot start the port forwarder";
        let kind = (AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (channel, theirs) = rustix::net::socketpair(kind.0, kind.1, kind.2, None).context(what)?;
        let parent = rustix::process::getpid();
        match fork().context(what)? {
            Fork::Parent(child) => Ok(Forwarder { child, channel }),
            Fork::Child => {
                let error = serve::run(self.sockets, target, facts, parent, &theirs);
                // Nobody may listen any more; then nothing is left to do.
                let _ = rustix::io::write(&theirs, error.to_string().as_bytes());
                exit_now(1)
            }
        }
    }
}

/// What the forwarder reports when it forwards.
const READY: &[u8] = b"+";

/// The longest that either side says at once: a container is on few networks.
const PACKET: usize = 16384;

impl Forwarder {
    /// Waits until connections are forwarded.
    pub(crate) fn ready(&self) -> Result<()> {
        let mut said = Vec::new();
        let mut buffer = [0; PACKET];
        loop {
            match rustix::io::read(&self.channel, &mut buffer) {
                Ok(0) => break,
                Ok(length) => said.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(Error::wrap("cannot hear from the port forwarder", e)),
            }
            if said == READY {
                return Ok(());
            }
        }
        let mut text = String::new();
        let _ = said.as_slice().read_to_string(&mut text);
        Err(Error::new(if text.is_empty() { "the port forwarder ended without saying why".to_owned() } else { text }))
    }

    /// The container is on other networks. New connections go there; those that there are stay.
    ///
    /// # Errors
    /// When the forwarder has ended.
    pub(crate) fn readdress(&self, facts: &Facts) -> Result<()> {
        let what = || "cannot tell the port forwarder the container's addresses";
        let addresses = Addresses { container: facts.container.clone(), gateways: facts.gateways.clone() };
        let text = serde_json::to_vec(&addresses).context(what)?;
        rustix::net::send(&self.channel, &text, SendFlags::NOSIGNAL).context(what).map(drop)
    }

    /// Readable once it has ended.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    #[cfg(test)]
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        self.child.pid
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = pidfd_send_signal(&self.child.pidfd, Signal::KILL);
        while let Err(Errno::INTR) = waitid(WaitId::PidFd(self.child.pidfd.as_fd()), WaitIdOptions::EXITED) {}
    }
}
