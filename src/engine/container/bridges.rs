//! A container's start on bridge networks: what the netkeeper is told about it.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use super::record::Config;
use super::store::{self, Container};
use crate::engine::network;
use crate::error::Result;
use crate::monitor::state::Status;
use crate::network::bridge::endpoint::Endpoint;
use crate::network::helper::{self, Prepared};
use crate::network::keeper::order::{Join, Order};
use crate::network::keeper;
use crate::state::paths::Dirs;
use crate::sys::namespace;

/// Has the netkeeper find addresses, and notes them beside the container.
pub(super) fn prepare(dirs: &Dirs, container: &Container, config: &Config, endpoints: &[Endpoint]) -> Result<Prepared> {
    let join = |endpoint: &Endpoint| {
        let network = network::store::find(dirs, &endpoint.network)?;
        endpoint.check(&network)?;
        Ok(Join { network, endpoint: endpoint.clone() })
    };
    let links = config.links.iter().map(|link| {
        // One that does not exist any more stands for nothing.
        let target = store::find(dirs, &link.container).map(|target| target.record.id).unwrap_or_default();
        (link.alias.clone(), target)
    });
    let order = Order {
        container: container.record.id.clone(),
        name: container.record.name.clone(),
        links: links.collect(),
        ports: container.record.ports.iter().map(|port| (port.protocol, port.container_port)).collect(),
        joins: endpoints.iter().map(join).collect::<Result<_>>()?,
    };
    let link = keeper::reserve(&dirs.runtime, &order, &|| survivors(dirs))?;
    link.order.store(&container.place.runtime)?;
    Ok(helper::bridged(link))
}

/// The user namespace above those of containers on bridges that still run.
fn survivors(dirs: &Dirs) -> Option<OwnedFd> {
    let containers = store::list(dirs).ok()?;
    containers.iter().filter(|container| !container.record.networks.is_empty()).find_map(|container| {
        let state = container.state(dirs).ok().filter(|state| state.status == Status::Running)?;
        let path = format!("/proc/{}/ns/user", state.pid);
        let own = rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        namespace::parent(&own).ok()
    })
}
