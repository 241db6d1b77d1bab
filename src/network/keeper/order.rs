//! What the netkeeper is told about one container, and what became of it.
//!
//! The order, with the addresses it was given, is kept beside the container's lock (`network.json` in its runtime
//! directory): what `inspect` shows, and what a new netkeeper is told when the old one was killed.

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::wires::{link_local, mac_of};
use crate::error::Result;
use crate::network::bridge::driver::{Attachment, attachment};
use crate::network::bridge::endpoint::{Endpoint, show_mac};
use crate::network::bridge::object::Network;
use crate::network::egress::policy::Policy;
use crate::network::ports::Protocol;
use crate::state::file::{self, Durability};
use crate::sys::netlink::Mac;

/// The file's name.
pub(crate) const FILE: &str = "network.json";

/// One container and its networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The container's id.
    pub container: String,
    pub name: String,
    /// `--link`: a name that only this container knows, and the id of the container it stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<(String, String)>,
    /// Name servers that it asks instead of its networks' (`--dns`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<IpAddr>,
    /// Container ports that are published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<(Protocol, u16)>,
    pub joins: Vec<Join>,
    /// What it may reach outside; everything when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Policy>,
    /// Where refusals are noted, when there is a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<PathBuf>,
}

/// A network that a container is on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Join {
    pub network: Network,
    /// Complete once the netkeeper has answered.
    pub endpoint: Endpoint,
}

/// What `inspect` shows of a [`Join`].
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    pub network: String,
    pub interface: String,
    pub mac: String,
    pub addresses: Vec<Address>,
    pub aliases: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    pub ip: IpAddr,
    pub prefix: u8,
    pub gateway: Option<IpAddr>,
}

impl Join {
    /// The addresses that were given, IPv4 first.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let ips = self.endpoint.ip.map(IpAddr::V4).into_iter().chain(self.endpoint.ip6.map(IpAddr::V6));
        ips.filter_map(|ip| {
            let range = self.network.range(ip.is_ipv6())?;
            Some(Address { ip, prefix: range.subnet.prefix, gateway: range.gateway })
        })
        .collect()
    }

    /// What the interface's link-local address is made of: on an ipvlan network all have one hardware address.
    pub(super) fn link_local_mac(&self) -> Option<Mac> {
        match attachment(&self.network) {
            Attachment::Ipvlan => self.addresses().first().map(|address| mac_of(address.ip)),
            _ => self.endpoint.mac,
        }
    }

    /// The interface's link-local address, if it has IPv6.
    pub(super) fn link_local(&self) -> Option<Ipv6Addr> {
        self.endpoint.ip6.and(self.link_local_mac()).map(link_local)
    }

    pub(crate) fn attached(&self) -> Attached {
        Attached {
            network: self.network.name.clone(),
            interface: self.endpoint.interface.clone().unwrap_or_default(),
            mac: self.endpoint.mac.map(show_mac).unwrap_or_default(),
            addresses: self.addresses(),
            aliases: self.endpoint.aliases.clone(),
        }
    }
}

impl Order {
    fn path(runtime: &Path) -> PathBuf {
        runtime.join(FILE)
    }

    /// What is kept in a container's runtime directory.
    pub(crate) fn load(runtime: &Path) -> Result<Option<Self>> {
        file::read_json(&Self::path(runtime))
    }

    pub(crate) fn store(&self, runtime: &Path) -> Result<()> {
        file::write_json(&Self::path(runtime), self, Durability::Volatile)
    }

    /// All addresses, those of the first network first.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.joins.iter().flat_map(Join::addresses).collect()
    }
}
