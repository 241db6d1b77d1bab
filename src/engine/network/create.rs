//! Making a network: what is taken on this host, and the lock that keeps two makers apart.

use jiff::Timestamp;

use super::store;
use crate::engine::events;
use crate::error::{Context, Result};
use crate::network::bridge::define::{Taken, Wanted, define};
use crate::network::bridge::object::{DEFAULT_SUBNET, Network};
use crate::network::files::host_resolvers;
use crate::network::subnet::Subnet;
use crate::state::lock::{Lock, Mode};
use crate::state::paths::Dirs;
use crate::sys::netlink;

/// Makes the network; with `ignore` an existing one of that name will do.
pub(crate) fn create(dirs: &Dirs, wanted: &Wanted, ignore: bool) -> Result<Network> {
    let _lock = Lock::acquire(&dirs.data.join("networks.lock"), Mode::Exclusive)?;
    let others = store::list(dirs)?;
    if let Some(existing) = others.iter().find(|other| ignore && Some(&other.name) == wanted.name.as_ref()) {
        return Ok(existing.clone());
    }
    let network = define(wanted, &taken(&others)?, random()?, Timestamp::now())?;
    store::save(dirs, &network)?;
    events::network(dirs, "create", &network.id, &network.name, &network.driver);
    Ok(network)
}

fn taken(others: &[Network]) -> Result<Taken> {
    let mut taken = Taken {
        names: others.iter().map(|other| other.name.clone()).collect(),
        interfaces: others.iter().map(|other| other.network_interface.clone()).collect(),
        subnets: others.iter().flat_map(|other| other.subnets.iter().map(|range| range.subnet)).collect(),
        networks: others.to_vec(),
        host_interfaces: interfaces(),
    };
    taken.subnets.extend(DEFAULT_SUBNET.parse::<Subnet>());
    let routes = netlink::networks().context(|| "cannot examine the host's networks")?;
    taken.subnets.extend(routes.into_iter().filter_map(|(ip, prefix)| Subnet::of(ip, prefix)));
    let resolv = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let single = |ip: std::net::IpAddr| Subnet::of(ip, if ip.is_ipv6() { 128 } else { 32 });
    taken.subnets.extend(host_resolvers(&resolv).into_iter().filter_map(single));
    Ok(taken)
}

fn random() -> Result<[u8; 7]> {
    let mut bytes = [0; 7];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context(|| "cannot read random bytes from the kernel")?;
    Ok(bytes)
}

/// Names of the host's interfaces. Where they cannot be listed, none is refused by its name.
fn interfaces() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
