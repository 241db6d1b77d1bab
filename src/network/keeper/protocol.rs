//! What clients and the netkeeper tell each other over its socket (SOCK_SEQPACKET): JSON, at most one descriptor each.
//!
//! A container's monitor keeps its connection as long as the container lives: the end of the connection is the end of
//! the container's place on its networks, however the monitor ended.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use super::order::{Join, Order};
use crate::error::{Context, Error, Kind, Result};
use crate::network::egress::guard::Refused;
use crate::network::overlay::PeerState;
use crate::sys::message;
use crate::userns::IdMaps;

/// The largest packet.
pub(super) const LIMIT: usize = 128 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Finds addresses for a container that is about to start. This connection stands for it from now on.
    Reserve(Order),
    /// Connects the container's network namespace, which is the descriptor.
    Wire,
    /// Connects a running container to one more network.
    Connect { container: String, join: Box<Join> },
    /// A container has another name.
    Rename { container: String, name: String },
    /// A network asks these name servers from now on.
    Servers { network: String, servers: Vec<IpAddr> },
    /// Connects a running container anew.
    Reload { container: String },
    /// What the netkeeper sees of a network that no file tells.
    Look { network: String },
    /// Takes a running container off a network.
    Disconnect { container: String, network: String },
}

/// What is going on on a network.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Look {
    /// Of an overlay network: the other hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerState>,
    /// What egress policies refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

/// A running container that is on other networks than before.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// Its networks as they are now.
    pub joins: Vec<Join>,
    /// The running containers that have a link to it.
    pub linkers: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The order with its addresses, and the containers that have a link to this one; the descriptor is the user namespace to
    /// make the container in.
    Reserved {
        order: Box<Order>,
        maps: IdMaps,
        linkers: Vec<String>,
    },
    /// The descriptor is the netkeeper's network namespace.
    Wired,
    Changed(Changed),
    Look(Box<Look>),
    Done,
    Refused {
        what: String,
        hints: Vec<String>,
        conflict: bool,
    },
}

impl Answer {
    pub(super) fn refused(error: &Error) -> Self {
        let conflict = error.kind() == Kind::Conflict;
        Self::Refused { what: error.to_string(), hints: error.hints().to_vec(), conflict }
    }
}

/// The error that a refusal stands for.
pub(super) fn error(what: String, hints: Vec<String>, conflict: bool) -> Error {
    let kind = if conflict { Kind::Conflict } else { Kind::General };
    hints.into_iter().fold(Error::new(what).with_kind(kind), Error::hint)
}

pub(super) fn send(socket: &OwnedFd, value: &impl Serialize, fd: Option<BorrowedFd<'_>>) -> Result<()> {
    let bytes = serde_json::to_vec(value).context(|| "cannot encode a message for the netkeeper")?;
    message::send(socket.as_fd(), &bytes, fd).context(|| "cannot write to the netkeeper")
}

/// `None` when the other side is gone.
pub(super) fn receive<T: serde::de::DeserializeOwned>(
    socket: &OwnedFd,
    buffer: &mut [u8],
) -> Result<Option<(T, Option<OwnedFd>)>> {
    let (length, fd) = match message::receive(socket.as_fd(), buffer) {
        // SEQPACKET tells of a peer that went with unread messages.
        Err(rustix::io::Errno::PIPE) => return Ok(None),
        result => result.context(|| "cannot hear the netkeeper")?,
    };
    if length == 0 {
        return Ok(None);
    }
    let value = serde_json::from_slice(buffer.get(..length).unwrap_or_default());
    value.map(|value| Some((value, fd))).context(|| "cannot understand the netkeeper")
}
