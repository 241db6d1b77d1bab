//! Where a running container is on its bridge networks.

use super::store::Container;
use crate::error::Result;
use crate::monitor::place::Place;
use crate::network::keeper::order::{Attached, Join, Order};

/// The networks of a container that runs, in the order of its interfaces; empty for one that was never on any.
pub(crate) fn load(place: &Place) -> Result<Vec<Attached>> {
    let order = Order::load(&place.runtime)?;
    Ok(order.iter().flat_map(|order| order.joins.iter().map(Join::attached)).collect())
}

/// Names of the networks that a container names, whether it runs or not.
pub(crate) fn names(container: &Container) -> &[String] {
    &container.record.networks
}
