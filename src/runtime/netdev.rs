//! The network devices of a new namespace, configured by the container's first process while its ids are being mapped.
//!
//! [`Setup`] is compiled before the clone to a batch of netlink requests, so that [`configure`] allocates nothing: it
//! makes the tap device, sends the batch, and answers a socket that leads into the network namespace, on which the
//! network helper's attaching is heard.
//! The device is made here and not by the helper because that takes it off the critical path, and because only so
//! the IPv6 address is usable at once (no duplicate address detection, no router solicitation).

use std::ffi::CString;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::sys::{netlink, tun};

/// What a new network namespace gets. Loopback comes up in any case.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    tap: Option<Tap>,
    batch: netlink::Batch,
}

/// A tap device with addresses.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    pub name: CString,
    pub mtu: u32,
    pub addresses: Vec<(IpAddr, u8)>,
    pub gateways: Vec<IpAddr>,
}

impl Setup {
    /// Compiles the requests.
    pub(crate) fn new(tap: Option<Tap>) -> Self {
        let mut batch = netlink::Batch::default();
        batch.up("bring up the loopback interface", netlink::LOOPBACK, None, true);
        if let Some(tap) = &tap {
            let ipv6 = tap.addresses.iter().any(|(ip, _)| ip.is_ipv6());
            batch.up("bring up the network interface", netlink::Index::Late, Some(tap.mtu), !ipv6);
            for &(ip, prefix) in &tap.addresses {
                batch.address("set the network address", netlink::Index::Late, ip, prefix);
            }
            for &gateway in &tap.gateways {
                batch.default_route("set the default route", netlink::Index::Late, gateway);
            }
        }
        Self { tap, batch }
    }
}

/// Configures the caller's network namespace. The answer, a socket of that namespace, hears (netlink link events) when a
/// helper attaches to the tap.
pub(crate) fn configure(setup: &Setup) -> Result<OwnedFd, (&'static str, Errno)> {
    let socket = netlink::socket().map_err(|e| ("open a netlink socket", e))?;
    let Some(tap) = &setup.tap else {
        setup.batch.apply(&socket, 0)?;
        return Ok(socket);
    };
    tun::create_tap(&tap.name).map_err(|e| ("make a tap device with /dev/net/tun", e))?;
    let index = tun::interface_index(&socket, &tap.name).map_err(|e| ("find the tap device", e))?;
    setup.batch.apply(&socket, index)?;
    netlink::link_events().map_err(|e| ("listen for link events", e))
}
