//! Name service for containers on bridge networks, inside the netkeeper.
//!
//! ```text
//! zone      who is called what, and who may know it (pure)
//! answer    one query → its answer, or: ask the host's resolvers (pure)
//! quick     the common question, without building messages (pure)
//! server    sockets at every network's gateway, UDP and TCP, in the netkeeper's namespace
//! upstream  the host's resolvers, asked through sockets that were made on the host before the namespace was entered
//! ```
//!
//! One thread, nothing waits. A container hears only of its own networks, told by the address that it asks from; the
//! kernel lets nobody ask with an address of another network (rp_filter).

pub(crate) mod answer;
mod quick;
mod server;
mod tcp;
mod upstream;
pub(crate) mod zone;

pub(crate) use server::Server;
pub(crate) use upstream::Sockets;

/// Largest DNS message (RFC 1035, 4.2.2).
const LARGEST: usize = 65535;
