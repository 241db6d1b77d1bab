//! What a network is: the fields that Podman stores and shows, with the same names.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::network::egress::policy::Policy;
use crate::network::subnet::Subnet;

/// The network that exists without being made, and Docker's name for it.
pub(crate) const DEFAULT: &str = "podman";
pub(crate) const DEFAULT_ALIAS: &str = "bridge";

/// What the default network has.
pub(crate) const DEFAULT_SUBNET: &str = "10.88.0.0/16";
const DEFAULT_INTERFACE: &str = "podman0";

pub(crate) const BRIDGE: &str = "bridge";

/// One network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Network {
    pub name: String,
    /// SHA-256 of the name, as Podman has it.
    pub id: String,
    pub driver: String,
    pub network_interface: String,
    pub created: Timestamp,
    #[serde(default)]
    pub subnets: Vec<Range>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    pub ipv6_enabled: bool,
    /// No way out.
    pub internal: bool,
    /// Names of containers are resolved.
    pub dns_enabled: bool,
    /// What is asked instead of the host's resolvers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network_dns_servers: Vec<IpAddr>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    #[serde(default)]
    pub ipam_options: BTreeMap<String, String>,
    /// What containers may reach outside; everything when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Policy>,
}

/// Addresses of one protocol version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    pub subnet: Subnet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// What containers get by themselves; all of the subnet when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_range: Option<Lease>,
}

/// First and last address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub start_ip: IpAddr,
    pub end_ip: IpAddr,
}

/// A route that containers get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub destination: Subnet,
    pub gateway: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
}

impl Network {
    /// The network [`DEFAULT`], as long as nobody stored another one under its name.
    pub(crate) fn standard(now: Timestamp) -> Self {
        let range = DEFAULT_SUBNET.parse::<Subnet>().ok().map(|subnet| Range {
            subnet,
            gateway: subnet.first_host(),
            lease_range: None,
        });
        Self {
            name: DEFAULT.to_owned(),
            id: id(DEFAULT),
            driver: BRIDGE.to_owned(),
            network_interface: DEFAULT_INTERFACE.to_owned(),
            created: now,
            subnets: range.into_iter().collect(),
            routes: Vec::new(),
            ipv6_enabled: false,
            internal: false,
            dns_enabled: false,
            network_dns_servers: Vec::new(),
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
            ipam_options: host_local(),
            egress: None,
        }
    }

    /// The addresses of one protocol version.
    pub(crate) fn range(&self, ipv6: bool) -> Option<&Range> {
        self.subnets.iter().find(|range| range.subnet.is_ipv6() == ipv6)
    }

    /// `--opt mtu=…`.
    pub(crate) fn mtu(&self) -> Option<u32> {
        self.options.get("mtu").and_then(|mtu| mtu.parse().ok())
    }

    /// `--opt metric=…`: of the default routes in containers.
    pub(crate) fn metric(&self) -> Option<u32> {
        self.options.get("metric").and_then(|metric| metric.parse().ok())
    }

    /// `--opt no_default_route=true`: the way out is another network's.
    pub(crate) fn has_default_route(&self) -> bool {
        !self.internal
            && self.options.get("no_default_route").is_none_or(|value| !matches!(value.as_str(), "1" | "true"))
    }
}

impl Range {
    /// The first and the last address that is given out.
    pub(crate) fn leases(&self) -> Option<(IpAddr, IpAddr)> {
        let first = self.subnet.first_host()?;
        match self.lease_range {
            Some(lease) => Some((lease.start_ip, lease.end_ip)),
            None => Some((first, self.subnet.last_host())),
        }
    }
}

/// A network's id.
pub(crate) fn id(name: &str) -> String {
    use sha2::{Digest, Sha256};
    crate::state::id::hex(&Sha256::digest(name.as_bytes()))
}

pub(crate) fn host_local() -> BTreeMap<String, String> {
    BTreeMap::from([("driver".to_owned(), "host-local".to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_network_is_podmans() {
        let json = serde_json::to_value(Network::standard(Timestamp::UNIX_EPOCH)).expect("encodes");
        assert_eq!(json["id"], "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9");
        assert_eq!(json["subnets"], serde_json::json!([{ "subnet": "10.88.0.0/16", "gateway": "10.88.0.1" }]));
        let keys: Vec<_> = json.as_object().expect("object").keys().map(String::as_str).collect();
        assert!(!keys.contains(&"labels") && !keys.contains(&"routes"), "{keys:?}");
    }
}
