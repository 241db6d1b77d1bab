//! Helpers and the forwarder against the real kernel. Each scenario makes a "host" of its own first: user, mount and network
//! namespaces with a few addresses on loopback, so that clients come from several places and no traffic leaves them.

mod bench;
mod forward;
mod helpers;
mod world;

use crate::runtime::scenarios::Scenario;

/// All scenarios by name.
pub(crate) fn all() -> Vec<Scenario> {
    [helpers::ALL, forward::ALL, bench::ALL].concat()
}
