//! Everything known about a network, with the containers on it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::users;
use crate::engine::container::attached;
use crate::error::Result;
use crate::network::bridge::object::Network;
use crate::network::keeper::{self, Look};
use crate::state::paths::Dirs;

/// A network with its containers.
#[derive(Debug, Serialize)]
pub(crate) struct Inspected {
    #[serde(flatten)]
    network: Network,
    containers: BTreeMap<String, Value>,
    #[serde(flatten)]
    look: Look,
}

/// Looks at a network.
pub(crate) fn inspect(dirs: &Dirs, network: Network) -> Result<Inspected> {
    let mut containers = BTreeMap::new();
    for container in users::of(dirs, &network)? {
        if !container.state(dirs)?.status.has_processes() {
            continue;
        }
        let mut interfaces = BTreeMap::new();
        for link in attached::load(&container.place)?.into_iter().filter(|link| link.network == network.name) {
            let subnets: Vec<Value> = link
                .addresses
                .iter()
                .map(|address| json!({ "ipnet": format!("{}/{}", address.ip, address.prefix), "gateway": address.gateway }))
                .collect();
            interfaces.insert(link.interface, json!({ "subnets": subnets, "mac_address": link.mac }));
        }
        let shown = json!({ "name": container.record.name, "interfaces": interfaces });
        containers.insert(container.id().to_owned(), shown);
    }
    let mut look = keeper::look(&dirs.runtime, &network.name)?;
    // Another network may have had its name.
    look.refused.retain(|refused| refused.last >= network.created.as_second());
    Ok(Inspected { network, containers, look })
}

impl Inspected {
    /// With the names that Podman's templates use.
    pub(crate) fn fields(&self) -> Value {
        let network = &self.network;
        let named = |value: &Value, of: &dyn Fn(&Value) -> Value| -> Value {
            value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), of(value))).collect()
        };
        let subnet = |subnet: &Value| json!({ "IPNet": subnet["ipnet"], "Gateway": subnet["gateway"] });
        let interface = |interface: &Value| {
            let subnets = interface["subnets"].as_array().into_iter().flatten().map(subnet);
            json!({ "Subnets": subnets.collect::<Vec<_>>(), "MacAddress": interface["mac_address"] })
        };
        let container =
            |shown: &Value| json!({ "Name": shown["name"], "Interfaces": named(&shown["interfaces"], &interface) });
        let containers: BTreeMap<_, _> = self.containers.iter().map(|(id, shown)| (id, container(shown))).collect();
        json!({
            "Name": network.name,
            "ID": network.id,
            "Driver": network.driver,
            "NetworkInterface": network.network_interface,
            "Created": network.created.to_string(),
            "Subnets": network.subnets.iter().map(|range| json!({
                "Subnet": range.subnet,
                "Gateway": range.gateway,
                "LeaseRange": range.lease_range.map(|lease| json!({ "StartIP": lease.start_ip, "EndIP": lease.end_ip })),
            })).collect::<Vec<_>>(),
            "Routes": network.routes,
            "IPv6Enabled": network.ipv6_enabled,
            "Internal": network.internal,
            "DNSEnabled": network.dns_enabled,
            "NetworkDNSServers": network.network_dns_servers,
            "Labels": network.labels,
            "Options": network.options,
            "IPAMOptions": network.ipam_options,
            "Containers": containers,
            "Peers": self.look.peers,
            "Egress": network.egress,
            "Refused": self.look.refused,
        })
    }
}
