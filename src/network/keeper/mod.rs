//! The netkeeper: one process for each user (more exactly, each runtime directory), while a container is on a bridge network.
//!
//! ```text
//! keeper/lock, keeper/socket      in the runtime directory
//!
//! order     what it is told about one container            protocol  … over its socket
//! client    commands and monitors                          spawn     from them to a netkeeper at work
//! door      its socket: made, watched, taken away
//! serve     its loop                                       members   containers, addresses (lease), names
//! wires     bridges and cables, by netlink         rules     where packets from bridges may go
//! parents   what macvlan and ipvlan hang on
//! ```
//!
//! **Namespaces.** It holds a user namespace with the user's whole map, and a network namespace with the bridges and the
//! uplink (slirp4netns or pasta). A container on a bridge gets a user namespace of its own *below* that one: whoever has
//! rights in the parent has them in the child, so the netkeeper may put cables into the container's network namespace, while
//! the container's root has no right over anything of the netkeeper's. The map of such a namespace is written by a process
//! that is root of the parent; newuidmap is not needed again.
//!
//! **Addresses** are the netkeeper's to give: it is the only one, and hears of every end, because each container's monitor holds a
//! connection to it. There is no file to be repaired after a crash.
//!
//! **Death.** When it is killed, or its uplink is, every container is cut off. Their monitors notice, and the first of them starts
//! another one *in the same user namespace*, which their containers keep alive; all of them come back with the addresses they
//! had. Connections between containers survive that.

mod client;
mod door;
mod lease;
mod members;
pub(crate) mod order;
mod parents;
mod protocol;
mod refusals;
mod rules;
mod serve;
mod spawn;
mod unplug;
mod wires;

use std::path::{Path, PathBuf};

pub(crate) use client::{
    Link, connect_container, disconnect_container, look, reload_container, rename_container, reserve, set_servers,
};
pub(crate) use protocol::{Changed, Look};

const SOCKET: &str = "socket";

fn directory(runtime: &Path) -> PathBuf {
    runtime.join("keeper")
}
