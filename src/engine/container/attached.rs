//! Where a running container is on its bridge networks.

use crate::error::Result;
use crate::monitor::place::Place;
use crate::network::keeper::order::{Attached, Join, Order};

/// The networks of a container that runs, in the order of its interfaces; empty for one that was never on any.
pub(crate) fn load(place: &Place) -> Result<Vec<Attached>> {
    let order = Order::load(&place.runtime)?;
    Ok(order.iter().flat_map(|order| order.joins.iter().map(Join::attached)).collect())
}
