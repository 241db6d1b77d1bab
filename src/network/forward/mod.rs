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
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

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
    report: OwnedFd,
}

impl Listeners {
    /// Starts forwarding to a container, in a process of its own. For a process with one thread.
    pub(crate) fn serve(self, target: &Target, facts: &Facts) -> Result<Forwarder> {
        let what = || "cannot start the port forwarder";
        let (report, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context(what)?;
        let parent = rustix::process::getpid();
        match fork().context(what)? {
            Fork::Parent(child) => Ok(Forwarder { child, report }),
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

impl Forwarder {
    /// Waits until connections are forwarded.
    pub(crate) fn ready(&self) -> Result<()> {
        let mut said = Vec::new();
        let mut buffer = [0; 512];
        loop {
            match rustix::io::read(&self.report, &mut buffer) {
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
