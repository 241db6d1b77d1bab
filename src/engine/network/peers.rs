//! Names of an overlay network's peers, resolved where a container starts: the netkeeper is not on the host's network.

use std::net::IpAddr;
use std::process::Command;

use crate::error::{Context, Error, Result};
use crate::network::bridge::driver::Driver;
use crate::network::bridge::object::Network;
use crate::network::overlay::settings;

/// The network with addresses in the place of its peers' names; any other network as it is.
pub(crate) fn resolved(mut network: Network) -> Result<Network> {
    if network.driver != Driver::Overlay.as_str() {
        return Ok(network);
    }
    let peers = settings::of(&network)?.peers;
    if peers.iter().all(|peer| peer.address().is_some()) {
        return Ok(network);
    }
    let mut addresses = Vec::with_capacity(peers.len());
    for peer in peers {
        let ip = peer.address().map_or_else(|| look_up(&peer.host), |address| Ok(address.ip()))?;
        addresses.push(std::net::SocketAddr::new(ip, peer.port).to_string());
    }
    network.options.insert("peer".to_owned(), addresses.join(","));
    Ok(network)
}

/// As the host's own programs do it: getent(1) knows what nsswitch.conf names, a static binary does not.
fn look_up(host: &str) -> Result<IpAddr> {
    let what = || format!("cannot resolve the peer {host}");
    let output = Command::new("getent").args(["ahosts", host]).output().context(what)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = text.lines().find_map(|line| line.split_whitespace().next()?.parse().ok());
    first.ok_or_else(|| Error::new(what()).hint("getent ahosts HOST says what this host knows"))
}
