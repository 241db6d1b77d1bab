//! Options of an overlay network.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::network::bridge::object::Network;
use crate::network::subnet::Subnet;

/// The port of VXLAN (RFC 7348).
pub(crate) const PORT: u16 = 4789;

/// What a container's interface may send: with IPv6 and sealing, Ethernet's 1500 bytes are not exceeded below.
pub(crate) const MTU: u32 = 1380;

/// Peers named on the command line.
const MOST_PEERS: usize = 64;

/// An overlay network's options, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Tells networks on one port apart; 24 bits.
    pub vni: u32,
    pub port: u16,
    /// Where others find this host, and where it listens.
    pub address: Option<IpAddr>,
    pub peers: Vec<Peer>,
    pub directory: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

/// `HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub host: String,
    pub port: u16,
}

impl Peer {
    /// `None` for a name that has to be resolved first.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse().ok()?, self.port))
    }

    fn parse(text: &str, default: u16) -> Result<Self> {
        let invalid = || Error::new(format!("invalid peer {text:?}")).hint("write HOST, HOST:PORT or [IPv6]:PORT");
        let number = |port: &str| port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(invalid);
        if text.parse::<IpAddr>().is_ok() {
            return Ok(Self { host: text.to_owned(), port: default });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: address.ip().to_string(), port: number(&address.port().to_string())? });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, number(port)?),
            None => (text, default),
        };
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
        };
        // Digits and dots alone are an address with a mistake in it.
        let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if host.len() > 253 || numeric || !host.split('.').all(label) {
            return Err(invalid());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// Checks one option; `false` when overlay networks have no such option.
pub(crate) fn check(key: &str, value: &str) -> Result<bool> {
    let bad = |why: &str| Err(Error::new(format!("{key}: {value:?} {why}")));
    match key {
        "peer" => value.split(',').try_for_each(|peer| Peer::parse(peer, PORT).map(drop))?,
        "port" if value.parse::<u16>().is_ok_and(|port| port >= 1024) => {}
        "port" => return bad("is not a number from 1024 to 65535"),
        "vni" if value.parse::<u32>().is_ok_and(|vni| (1..1 << 24).contains(&vni)) => {}
        "vni" => return bad("is not a number from 1 to 16777215"),
        "address" if value.parse::<IpAddr>().is_ok() => {}
        "address" => return bad("is not an IP address"),
        "peers-dir" | "key-file" if Path::new(value).is_absolute() => {}
        "peers-dir" | "key-file" => return bad("is not an absolute path"),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The settings of a network whose driver is overlay. Options were checked when it was made.
pub(crate) fn of(network: &Network) -> Result<Settings> {
    let option = |key: &str| network.options.get(key).map(String::as_str);
    let port = option("port").and_then(|port| port.parse().ok()).unwrap_or(PORT);
    let peers = option("peer").into_iter().flat_map(|peers| peers.split(','));
    Ok(Settings {
        vni: option("vni").and_then(|vni| vni.parse().ok()).unwrap_or_else(|| number(&network.name)),
        port,
        address: option("address").and_then(|ip| ip.parse().ok()),
        peers: peers.map(|peer| Peer::parse(peer, port)).collect::<Result<_>>()?,
        directory: option("peers-dir").map(PathBuf::from),
        key_file: option("key-file").map(PathBuf::from),
    })
}

/// Refuses settings that can lead to nobody.
pub(crate) fn complete(settings: &Settings) -> Result<()> {
    if settings.peers.is_empty() && settings.directory.is_none() {
        return Err(Error::new("an overlay network needs to know the other hosts").hint(
            "--opt peer=HOST[:PORT] for each of them, or --opt peers-dir=PATH of a directory that all of them share",
        ));
    }
    if settings.peers.len() > MOST_PEERS {
        return Err(Error::new(format!("more than {MOST_PEERS} peers")));
    }
    Ok(())
}

/// The same on all hosts: what the network's name makes of it.
fn digest(name: &str) -> [u8; 32] {
    Sha256::digest(format!("rpod overlay {name}")).into()
}

fn number(name: &str) -> u32 {
    let [a, b, c, ..] = digest(name);
    u32::from_be_bytes([0, a, b, c]).max(1)
}

/// The subnets that a network has without --subnet: the same on all hosts.
pub(crate) fn subnets(name: &str) -> [Option<Subnet>; 2] {
    let [_, _, _, a, b, six @ ..] = digest(name);
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..8].copy_from_slice(&six[..7]);
    [Subnet::of(IpAddr::from([10, a | 0x80, b, 0]), 24), Subnet::of(IpAddr::from(octets), 64)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers() {
        for (text, expected) in [
            ("10.1.2.3", "10.1.2.3 4789"),
            ("10.1.2.3:5000", "10.1.2.3 5000"),
            ("node-1.example.org", "node-1.example.org 4789"),
            ("node1:5000", "node1 5000"),
            ("fd00::1", "fd00::1 4789"),
            ("[fd00::1]:5000", "fd00::1 5000"),
            ("", "ERR"),
            ("10.1.2", "ERR"),
            ("10.1.2.3:0", "ERR"),
            ("a:b", "ERR"),
            ("-x", "ERR"),
            ("a b", "ERR"),
            ("a/b", "ERR"),
        ] {
            let shown = Peer::parse(text, PORT).map_or("ERR".into(), |peer| format!("{} {}", peer.host, peer.port));
            assert_eq!(shown, expected, "{text}");
        }
    }

    #[test]
    fn options() {
        for (key, value, expected) in [
            ("peer", "a,b:5000", Some(true)),
            ("peer", "a,", None),
            ("port", "80", None),
            ("port", "4790", Some(true)),
            ("vni", "0", None),
            ("vni", "16777216", None),
            ("peers-dir", "/x", Some(true)),
            ("key-file", "x", None),
            ("address", "x", None),
            ("foo", "x", Some(false)),
        ] {
            assert_eq!(check(key, value).ok(), expected, "{key}={value}");
        }
        let [four, six] = subnets("n").map(|subnet| subnet.map(|s| s.to_string()).unwrap_or_default());
        assert!(four.starts_with("10.") && four.ends_with(".0/24") && six.ends_with("::/64"), "{four} {six}");
    }
}
