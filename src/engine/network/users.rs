//! Which containers are on a network.

use std::collections::BTreeSet;

use crate::engine::container::store::{self, Container};
use crate::error::Result;
use crate::network::bridge::object::Network;
use crate::state::paths::Dirs;

/// The containers that name the network, running or not.
pub(crate) fn of(dirs: &Dirs, network: &Network) -> Result<Vec<Container>> {
    let mut all = store::list(dirs)?;
    all.retain(|container| container.record.networks.contains(&network.name));
    Ok(all)
}

/// The names of all networks that a container is on.
pub(crate) fn used(dirs: &Dirs) -> Result<BTreeSet<String>> {
    Ok(store::list(dirs)?.into_iter().flat_map(|container| container.record.networks).collect())
}
