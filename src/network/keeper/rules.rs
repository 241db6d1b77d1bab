//! Where packets from bridges go: the netkeeper's routing rules.
//!
//! They are asked in this order; the uplink is the main table's default route.
//!
//! | priority | from a bridge | |
//! |---|---|---|
//! | 100 | from a published port of a container | to this host: the forwarder's transparent socket has the client's address |
//! | 200 | to the same network | main table |
//! | 300 | to another network | refused: networks are apart |
//! | 400 | to anywhere, on an internal network | refused |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::network::bridge::object::Network;
use crate::network::ports::Protocol;
use crate::sys::netlink::{Action, Batch, Selector};

const TABLE_LOCAL: u32 = 0x7270_6f66;
const TABLE_REFUSED: u32 = 0x7270_6f67;
const TABLE_MAIN: u32 = 254;

/// The table that rule 100 leads to.
pub(super) fn prepare(batch: &mut Batch, ipv6: bool) {
    batch.local_default("route packets to the forwarder", TABLE_LOCAL, Ipv4Addr::UNSPECIFIED.into());
    if ipv6 {
        batch.local_default("route packets to the forwarder", TABLE_LOCAL, Ipv6Addr::UNSPECIFIED.into());
    }
}

/// Rules 200 to 400. `ipv6`: the kernel has it.
pub(super) fn of_network(batch: &mut Batch, network: &Network, ipv6: bool, remove: bool) {
    let any = |ipv6| Selector {
        ipv6,
        from_interface: &network.network_interface,
        source: None,
        destination: None,
        ports: None,
    };
    for range in &network.subnets {
        let any = any(range.subnet.is_ipv6());
        let destination = (range.subnet.address, range.subnet.prefix);
        let own = Selector { destination: Some(destination), ..any };
        batch.bridge_rule("route within the network", remove, own, Action::Table(TABLE_MAIN), 200);
        batch.bridge_rule("keep networks apart", remove, any, Action::Table(TABLE_REFUSED), 300);
        batch.refusal("keep networks apart", remove, destination, TABLE_REFUSED);
    }
    if network.internal {
        for ipv6 in [false, true].into_iter().filter(|six| ipv6 || !six) {
            batch.bridge_rule("close the internal network", remove, any(ipv6), Action::Prohibit, 400);
        }
    }
}

/// Rule 100, for a container's addresses on a bridge.
pub(super) fn of_ports(
    batch: &mut Batch,
    bridge: &str,
    addresses: &[IpAddr],
    ports: &[(Protocol, u16, u16)],
    remove: bool,
) {
    for &ip in addresses {
        for &(protocol, first, last) in ports {
            let number = match protocol {
                Protocol::Tcp => libc::IPPROTO_TCP,
                Protocol::Udp => libc::IPPROTO_UDP,
            } as u8;
            let select = Selector {
                ipv6: ip.is_ipv6(),
                from_interface: bridge,
                source: Some(ip),
                destination: None,
                ports: Some((number, first, last)),
            };
            let action = Action::Table(TABLE_LOCAL);
            batch.bridge_rule("bring answers of published ports back", remove, select, action, 100);
        }
    }
}

/// Ports as few ranges.
pub(super) fn ranges(ports: &[(Protocol, u16)]) -> Vec<(Protocol, u16, u16)> {
    let mut sorted = ports.to_vec();
    sorted.sort_unstable();
    let mut ranges: Vec<(Protocol, u16, u16)> = Vec::new();
    for (protocol, port) in sorted {
        match ranges.last_mut() {
            Some((before, _, last)) if *before == protocol && port <= last.saturating_add(1) => *last = port,
            _ => ranges.push((protocol, port, port)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_become_ranges() {
        use Protocol::{Tcp, Udp};
        let given = [(Tcp, 81), (Udp, 53), (Tcp, 80), (Tcp, 80), (Tcp, 90)];
        assert_eq!(ranges(&given), [(Tcp, 80, 81), (Tcp, 90, 90), (Udp, 53, 53)]);
    }
}
