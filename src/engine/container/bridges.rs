//! A container's start on bridge networks: what the netkeeper is told about it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::record::{Config, Link};
use super::store::{self, Container};
use crate::engine::network;
use crate::error::{Error, Kind, Result};
use crate::network::bridge::endpoint::Endpoint;
use crate::network::helper::{self, Prepared};
use crate::network::keeper;
use crate::network::keeper::order::{Join, Order};
use crate::network::mode::Mode as Network;
use crate::state::events;
use crate::state::paths::Dirs;
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
        if settled.iter().any(|other| other.network == network.name) {
            return Err(Error::new(format!("network {:?} is named twice", network.name)));
        }
        settled.push(Endpoint { network: network.name, ..endpoint.clone() });
    }
    Ok(Network::Bridge(settled))
}

/// Has the netkeeper find addresses, and notes them beside the container.
pub(super) fn prepare(dirs: &Dirs, container: &Container, config: &Config, endpoints: &[Endpoint]) -> Result<Prepared> {
    let join = |endpoint: &Endpoint| {
        let network = network::peers::resolved(network::store::find(dirs, &endpoint.network)?)?;
        endpoint.check(&network)?;
        Ok(Join { network, endpoint: endpoint.clone() })
    };
    let links = config.links.iter().map(|link| Ok((link, linked(dirs, link)?))).collect::<Result<Vec<_>>>()?;
    let joins = endpoints.iter().map(join).collect::<Result<Vec<_>>>()?;
    let is_common = |join: &Join| endpoints.iter().any(|own| own.network == join.network.name);
    if let Some((link, _)) = links.iter().find(|(_, (_, joins))| !joins.iter().any(is_common)) {
        return Err(Error::new(format!(
            "cannot link to container {}: it is on none of these networks",
            link.container
        ))
        .with_kind(Kind::Conflict)
        .hint(format!("rpod network connect NETWORK {}", link.container)));
    }
    let guarded = config.egress.is_some() || joins.iter().any(|join| join.network.egress.is_some());
    let order = Order {
        container: container.record.id.clone(),
        name: container.record.name.clone(),
        links: links.iter().map(|(link, (target, _))| (link.alias.clone(), target.record.id.clone())).collect(),
        ports: container.record.ports.iter().map(|port| (port.protocol, port.container_port)).collect(),
        joins,
        egress: config.egress.clone(),
        events: guarded.then(|| events::directory(dirs)),
    };
    let link = keeper::reserve(&dirs.runtime, &order, &|| survivors(dirs))?;
    link.order.store(&container.place.runtime)?;
    let mut lines = Vec::new();
    for (link, (target, joins)) in &links {
        let mut names = vec![link.alias.as_str(), &target.record.name];
        names.dedup();
        let shared = joins.iter().filter(|join| is_common(join));
        lines.extend(shared.flat_map(Join::addresses).map(|address| (address.ip, names.join(" "))));
    }
    Ok(helper::bridged(link, lines))
}

/// The container that a link leads to, and where it is.
fn linked(dirs: &Dirs, link: &Link) -> Result<(Container, Vec<Join>)> {
    let what = || format!("cannot link to container {}", link.container);
    let target = store::find(dirs, &link.container).map_err(|e| Error::wrap(what(), e))?;
    if !target.state(dirs)?.status.has_processes() {
        return Err(Error::new(format!("{}: it does not run", what()))
            .with_kind(Kind::Conflict)
            .hint(format!("start it first: rpod start {}", link.container)));
    }
    let joins = Order::load(&target.place.runtime)?.map(|order| order.joins).unwrap_or_default();
    Ok((target, joins))
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
