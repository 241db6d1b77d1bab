//! Connecting containers to networks and taking them off, while they run or not.

use super::{peers, store};
use crate::engine::container::record::{Config, Record};
use crate::engine::container::rename::change;
use crate::engine::container::store::Container;
use crate::engine::container::{bridges, links, namefiles, update};
use crate::error::{Error, Kind, Result};
use crate::network::bridge::endpoint::Endpoint;
use crate::network::keeper::order::{Join, Order};
use crate::network::keeper::{self, Changed};
use crate::network::mode::Mode;
use crate::state::file::Durability;
use crate::state::paths::Dirs;

/// Connects a container to a network, at once when it runs.
pub(crate) fn connect(dirs: &Dirs, container: &Container, endpoint: &Endpoint) -> Result<()> {
    let network = peers::resolved(store::find(dirs, &endpoint.network)?)?;
    let endpoint = Endpoint { network: network.name.clone(), ..endpoint.clone() };
    endpoint.check(&network)?;
    alter(dirs, container, |endpoints, running| {
        if endpoints.iter().any(|other| other.network == network.name) {
            return Err(Error::new(format!(
                "container {} is already connected to network {:?}: network already connected",
                container.id(),
                network.name
            ))
            .with_kind(Kind::Conflict));
        }
        endpoints.push(endpoint.clone());
        let endpoint = bridges::with_hostname(endpoint.clone(), container, &container.config()?.names);
        let join = Join { network: network.clone(), endpoint };
        running.then(|| keeper::connect_container(&dirs.runtime, container.id(), join)).transpose()
    })
}

/// Takes a container off a network, at once when it runs. With `force`, also one that is cut off from it.
pub(crate) fn disconnect(dirs: &Dirs, container: &Container, name: &str, force: bool) -> Result<()> {
    let network = match store::find(dirs, name) {
        Ok(network) => network.name,
        // The network may be gone, its name in the record is not.
        Err(e) if e.kind() == Kind::NoSuchObject && container.record.networks.iter().any(|n| n == name) => {
            name.to_owned()
        }
        Err(e) => return Err(e),
    };
    alter(dirs, container, |endpoints, running| {
        let before = endpoints.len();
        endpoints.retain(|endpoint| endpoint.network != network);
        if endpoints.len() == before {
            return Err(Error::new(format!(
                "container {} is not connected to network {network}: network not connected",
                container.record.name
            )));
        }
        let left = |error| {
            let order = Order::load(&container.place.runtime)?.filter(|_| force).ok_or(error)?;
            let joins = order.joins.into_iter().filter(|join| join.network.name != network).collect();
            Ok(Changed { joins, linkers: Vec::new() })
        };
        let now = || keeper::disconnect_container(&dirs.runtime, container.id(), &network).or_else(left);
        running.then(now).transpose()
    })
}

/// Connects a running container anew, with the addresses it has; `false` when it is on no bridge now.
pub(crate) fn reload(dirs: &Dirs, container: &Container) -> Result<bool> {
    if container.record.networks.is_empty() || !container.state(dirs)?.status.has_processes() {
        return Ok(false);
    }
    keeper::reload_container(&dirs.runtime, container.id()).map(|_| true)
}

/// Changes the endpoints: in the netkeeper (`apply` answers what became of a running container), its files, its record.
fn alter(
    dirs: &Dirs,
    container: &Container,
    apply: impl FnOnce(&mut Vec<Endpoint>, bool) -> Result<Option<Changed>>,
) -> Result<()> {
    let mut changed = false;
    change(container, |record| {
        let place = &container.place;
        let mut config = Config::load(&place.record)?;
        let Mode::Bridge(endpoints) = &mut config.network else {
            return Err(Error::new(format!("{:?} is not supported: invalid network mode", config.network.to_string()))
                .hint("only containers made with a bridge network can be connected to others: --network NAME"));
        };
        let running = container.state(dirs)?.status.has_processes();
        if let Some(Changed { joins, linkers }) = apply(endpoints, running)? {
            let mut order = Order::load(&place.runtime)?.ok_or_else(|| {
                Error::new("what the container is connected to is not known").hint("restart the container")
            })?;
            let before = order.addresses();
            order.joins = joins;
            order.store(&place.runtime)?;
            links::readdress(dirs, container, &order.joins, &linkers);
            changed = true;
            namefiles::readdress(&place.record, record, &config.names, &before, &order.addresses())?;
        }
        record.networks = endpoints.iter().map(|endpoint| endpoint.network.clone()).collect();
        config.store(&place.record, durability(record))?;
        Ok(true)
    })?;
    // Published ports lead to the addresses that it has now.
    if changed { update::tell(container) } else { Ok(()) }
}

fn durability(record: &Record) -> Durability {
    if record.rm { Durability::Volatile } else { Durability::Synced }
}
