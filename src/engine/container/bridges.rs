//! A container's start on bridge networks: what the netkeeper is told about it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::links;
use super::record::{Config, NameFiles};
use super::store::{self, Container};
use crate::engine::network;
use crate::error::Result;
use crate::network::bridge::endpoint::{self, Endpoint};
use crate::network::helper::{self, Prepared};
use crate::network::keeper;
use crate::network::keeper::order::{Join, Order};
use crate::network::mode::Mode as Network;
use crate::state::paths::Dirs;
use crate::state::{events, id};
use crate::sys::namespace;

/// The mode with its networks found, under their own names.
///
/// # Errors
/// When a network does not exist, or cannot have the address that is asked for.
pub(super) fn settle(dirs: &Dirs, mode: &Network) -> Result<Network> {
    let Network::Bridge(endpoints) = mode else { return Ok(mode.clone()) };
    let mut settled: Vec<Endpoint> = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let network = network::store::find(dirs, &endpoint.network)?;
        endpoint.check(&network)?;
        // Named twice, also by its id: as it was named last.
        settled.retain(|other| other.network != network.name);
        settled.push(Endpoint { network: network.name, ..endpoint.clone() });
    }
    Ok(Network::Bridge(settled))
}

/// Has the netkeeper find addresses, and notes them beside the container.
pub(super) fn prepare(dirs: &Dirs, container: &Container, config: &Config, endpoints: &[Endpoint]) -> Result<Prepared> {
    let join = |endpoint: &Endpoint| {
        let network = network::peers::resolved(network::store::find(dirs, &endpoint.network)?)?;
        endpoint.check(&network)?;
        Ok(Join { network, endpoint: with_hostname(endpoint.clone(), container, &config.names) })
    };
    let links = links::find(dirs, config, endpoints)?;
    let joins = endpoints.iter().map(join).collect::<Result<Vec<_>>>()?;
    let guarded = config.egress.is_some() || joins.iter().any(|join| join.network.egress.is_some());
    let order = Order {
        container: container.record.id.clone(),
        name: container.record.name.clone(),
        links: links.targets,
        servers: config.names.dns.iter().filter_map(|server| server.parse().ok()).collect(),
        ports: container.record.ports.iter().map(|port| (port.protocol, port.container_port)).collect(),
        joins,
        egress: config.egress.clone(),
        events: guarded.then(|| events::directory(dirs)),
    };
    let link = keeper::reserve(&dirs.runtime, &order, &|| survivors(dirs))?;
    link.order.store(&container.place.runtime)?;
    links::readdress(dirs, container, &link.order.joins, &link.linkers);
    Ok(helper::bridged(link, links.hosts))
}

/// A container is known on its networks by a host name of its own too, where that can be one.
pub(crate) fn with_hostname(mut endpoint: Endpoint, container: &Container, names: &NameFiles) -> Endpoint {
    let hostname = &names.hostname;
    let known = [id::short(container.id()), &container.record.name].contains(&hostname.as_str())
        || endpoint.aliases.contains(hostname)
        || rustix::system::uname().nodename().to_bytes() == hostname.as_bytes();
    endpoint.aliases.extend(endpoint::alias(hostname).ok().filter(|_| !known));
    endpoint
}

/// The user namespace above those of containers on bridges that still run.
fn survivors(dirs: &Dirs) -> Option<OwnedFd> {
    let containers = store::list(dirs).ok()?;
    containers.iter().filter(|container| !container.record.networks.is_empty()).find_map(|container| {
        let state = container.state(dirs).ok().filter(|state| state.status.has_processes())?;
        let path = format!("/proc/{}/ns/user", state.pid);
        let own = rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        namespace::parent(own.as_fd()).ok()
    })
}
