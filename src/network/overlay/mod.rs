//! Overlay networks: one segment over the bridges of several hosts' netkeepers.
//!
//! ```text
//! container ── bridge ── tap ── netkeeper ── UDP socket of the host ═══ the same on another host
//!
//! settings   --opt as typed → peers, port, number, key (pure)
//! packet     frames and messages ↔ datagrams: VXLAN (RFC 7348), or sealed with a key (pure)
//! segment    one network: peers, who is where, what is let through (pure)
//! relay      sockets and taps; a part of the netkeeper's loop
//! directory  peers that a directory shared by the hosts tells of
//! ```
//!
//! **Sockets** were made on the host before the netkeeper entered its namespace, so that neither root nor a way through the
//! uplink is needed. Networks with the same port share one and are told apart by their number (VNI).
//!
//! **Names and addresses.** Each netkeeper tells the others which containers it has, at once and every few seconds, and gives
//! no address that it heard of from another. It begins at a random place of the range, so that two hosts that start a container
//! in the same instant do not meet. What is not heard of for a while is gone.
//!
//! **Gateway.** Every host's bridge has the gateway's addresses, and what is for the gateway stays on its host: the way out,
//! name service and published ports are those of the container's own host.
//!
//! **Trust.** Datagrams are taken from the peers' addresses only. Without `key-file` nothing is encrypted and whoever can
//! send in a peer's name is believed; with it every datagram is sealed (AES-256-GCM), and repeated ones are dropped.
//! A peer is trusted with its own names and addresses, within the network's subnets; it cannot speak for the gateway or for
//! a container of this host.

mod directory;
mod packet;
mod relay;
mod segment;
pub(crate) mod settings;

pub(crate) use relay::{Overlays, Sockets, tap_name};
pub(crate) use segment::{Here, PeerState};
