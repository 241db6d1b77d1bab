//! `network update`: the name servers that a network asks.

use std::net::IpAddr;

use super::store;
use crate::error::{Error, Result};
use crate::network::bridge::object::Network;
use crate::network::keeper;
use crate::state::lock::{Lock, Mode};
use crate::state::paths::Dirs;

/// Adds and drops name servers.
pub(crate) fn servers(dirs: &Dirs, name: &str, add: &[String], drop: &[String]) -> Result<Network> {
    let parse = |texts: &[String]| -> Result<Vec<IpAddr>> {
        texts.iter().map(|text| text.parse().map_err(|_| Error::new(format!("unable to parse ip {text}")))).collect()
    };
    let (add, drop) = (parse(add)?, parse(drop)?);
    let _lock = Lock::acquire(&dirs.data.join("networks.lock"), Mode::Exclusive)?;
    let mut network = store::find(dirs, name)?;
    if !network.dns_enabled {
        return Err(Error::new(format!(
            "unable to set DNS servers of network {}: DNS is not enabled there",
            network.name
        )));
    }
    network.network_dns_servers.retain(|server| !drop.contains(server));
    for server in add {
        if !network.network_dns_servers.contains(&server) {
            network.network_dns_servers.push(server);
        }
    }
    store::save(dirs, &network)?;
    keeper::set_servers(&dirs.runtime, &network.name, &network.network_dns_servers)?;
    Ok(network)
}
