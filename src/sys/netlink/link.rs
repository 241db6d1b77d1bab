//! Requests of the netkeeper: bridges, pairs of virtual cables, routes and rules (rtnetlink(7), ip-rule(8)).

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::{Batch, CREATE, IFF_UP, RTM_NEWLINK, RTM_NEWROUTE, RTM_NEWRULE, family, octets};

const RTM_DELLINK: u16 = 17;
const RTM_DELROUTE: u16 = 25;
const RTM_DELRULE: u16 = 33;
/// NLM_F_EXCL.
const EXCLUSIVE: u16 = 0x200;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const VETH_INFO_PEER: u16 = 1;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// The end of a cable that goes to a container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'a> {
    pub name: &'a str,
    pub mac: Mac,
    pub namespace: BorrowedFd<'a>,
}

/// An interface of a container that hangs on another one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubInterface<'a> {
    /// The index of the interface that it hangs on, in the namespace of the request's socket.
    pub parent: u32,
    pub kind: SubKind,
    pub mtu: u32,
    pub peer: Peer<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum SubKind {
    /// With its mode (`enum macvlan_mode`).
    Macvlan(u32),
    /// In mode l2, with the parent's hardware address.
    Ipvlan,
}

/// What a routing rule does with packets that match it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    Table(u32),
    Prohibit,
}

/// What a routing rule of a bridge matches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selector<'a> {
    pub ipv6: bool,
    /// The interface that packets come through.
    pub from_interface: &'a str,
    pub source: Option<IpAddr>,
    pub destination: Option<(IpAddr, u8)>,
    /// IP protocol, and first and last source port (Linux 4.17).
    pub ports: Option<(u8, u16, u16)>,
}

impl Batch {
    /// Makes a bridge, down.
    pub(crate) fn bridge(&mut self, step: &'static str, name: &str, mac: Mac, mtu: u32) {
        self.begin(step, RTM_NEWLINK, CREATE | EXCLUSIVE);
        self.put(&[0; 16]);
        self.text(IFLA_IFNAME, name);
        self.attribute(IFLA_ADDRESS, &mac);
        self.attribute(IFLA_MTU, &mtu.to_ne_bytes());
        let info = self.nest(IFLA_LINKINFO);
        self.text(IFLA_INFO_KIND, "bridge");
        self.close(info);
        self.end();
    }

    /// Makes a cable: one end, up, in the bridge with index `master`; the other one, down, in another namespace.
    pub(crate) fn cable(&mut self, step: &'static str, name: &str, master: u32, mtu: u32, peer: Peer<'_>) {
        self.begin(step, RTM_NEWLINK, CREATE | EXCLUSIVE);
        self.put(&[0; 8]);
        self.put(&IFF_UP.to_ne_bytes());
        self.put(&IFF_UP.to_ne_bytes());
        self.text(IFLA_IFNAME, name);
        self.attribute(IFLA_MTU, &mtu.to_ne_bytes());
        self.attribute(IFLA_MASTER, &master.to_ne_bytes());
        let info = self.nest(IFLA_LINKINFO);
        self.text(IFLA_INFO_KIND, "veth");
        let data = self.nest(IFLA_INFO_DATA);
        let other = self.nest(VETH_INFO_PEER);
        self.put(&[0; 16]);
        self.text(IFLA_IFNAME, peer.name);
        self.attribute(IFLA_ADDRESS, &peer.mac);
        self.attribute(IFLA_MTU, &mtu.to_ne_bytes());
        self.attribute(IFLA_NET_NS_FD, &peer.namespace.as_raw_fd().to_ne_bytes());
        self.close(other);
        self.close(data);
        self.close(info);
        self.end();
    }

    /// Makes an interface in another namespace, down, that hangs on one of this.
    pub(crate) fn sub_interface(&mut self, step: &'static str, interface: &SubInterface<'_>) {
        const MODE: u16 = 1;
        const L2: u16 = 0;
        let peer = &interface.peer;
        self.begin(step, RTM_NEWLINK, CREATE | EXCLUSIVE);
        self.put(&[0; 16]);
        self.text(IFLA_IFNAME, peer.name);
        if matches!(interface.kind, SubKind::Macvlan(_)) {
            self.attribute(IFLA_ADDRESS, &peer.mac);
        }
        self.attribute(IFLA_MTU, &interface.mtu.to_ne_bytes());
        self.attribute(IFLA_LINK, &interface.parent.to_ne_bytes());
        self.attribute(IFLA_NET_NS_FD, &peer.namespace.as_raw_fd().to_ne_bytes());
        let info = self.nest(IFLA_LINKINFO);
        self.text(IFLA_INFO_KIND, if matches!(interface.kind, SubKind::Ipvlan) { "ipvlan" } else { "macvlan" });
        let data = self.nest(IFLA_INFO_DATA);
        match interface.kind {
            SubKind::Macvlan(mode) => self.attribute(MODE, &mode.to_ne_bytes()),
            SubKind::Ipvlan => self.attribute(MODE, &L2.to_ne_bytes()),
        }
        self.close(data);
        self.close(info);
        self.end();
    }

    /// Puts an interface into the bridge with index `master`, and brings it up.
    pub(crate) fn enslave(&mut self, step: &'static str, name: &str, master: u32) {
        self.begin(step, RTM_NEWLINK, 0);
        self.put(&[0; 8]);
        self.put(&IFF_UP.to_ne_bytes());
        self.put(&IFF_UP.to_ne_bytes());
        self.text(IFLA_IFNAME, name);
        self.attribute(IFLA_MASTER, &master.to_ne_bytes());
        self.end();
    }

    /// Has a bridge send frames back through the port that they came from.
    pub(crate) fn hairpin(&mut self, step: &'static str, port: &str) {
        const IFLA_BRPORT_MODE: u16 = 4;
        self.begin(step, RTM_NEWLINK, 0);
        self.put(&[0; 16]);
        self.text(IFLA_IFNAME, port);
        let info = self.nest(IFLA_LINKINFO);
        self.text(IFLA_INFO_SLAVE_KIND, "bridge");
        let data = self.nest(IFLA_INFO_SLAVE_DATA);
        self.attribute(IFLA_BRPORT_MODE, &[1]);
        self.close(data);
        self.close(info);
        self.end();
    }

    /// Has IPv6 give an interface no address by itself. Before it is brought up: in one request the kernel does that first.
    pub(crate) fn no_link_local(&mut self, step: &'static str, index: u32) {
        const IFLA_AF_SPEC: u16 = 26;
        const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
        const NONE: u8 = 1;
        self.begin(step, RTM_NEWLINK, 0);
        self.put(&[0; 4]);
        self.put(&index.to_ne_bytes());
        self.put(&[0; 8]);
        let families = self.nest(IFLA_AF_SPEC);
        let family = self.nest(libc::AF_INET6 as u16);
        self.attribute(IFLA_INET6_ADDR_GEN_MODE, &[NONE]);
        self.close(family);
        self.close(families);
        self.end();
    }

    /// Removes an interface.
    pub(crate) fn remove_link(&mut self, step: &'static str, name: &str) {
        self.begin(step, RTM_DELLINK, 0);
        self.put(&[0; 16]);
        self.text(IFLA_IFNAME, name);
        self.end();
    }

    /// Sends what goes to `destination` to a gateway.
    pub(crate) fn route(
        &mut self,
        step: &'static str,
        destination: (IpAddr, u8),
        gateway: IpAddr,
        metric: Option<u32>,
    ) {
        const MAIN: u8 = 254;
        const STATIC: u8 = 4;
        const UNICAST: u8 = 1;
        self.begin(step, RTM_NEWROUTE, CREATE);
        self.put(&[family(gateway), destination.1, 0, 0, MAIN, STATIC, 0, UNICAST, 0, 0, 0, 0]);
        if destination.1 > 0 {
            self.attribute(1, &octets(destination.0));
        }
        self.attribute(5, &octets(gateway));
        if let Some(metric) = metric {
            self.attribute(6, &metric.to_ne_bytes());
        }
        self.end();
    }

    /// Has table `table` refuse what goes to `destination`; with `remove`, not any more.
    pub(crate) fn refusal(&mut self, step: &'static str, remove: bool, destination: (IpAddr, u8), table: u32) {
        const STATIC: u8 = 4;
        const PROHIBIT: u8 = 8;
        self.begin(step, if remove { RTM_DELROUTE } else { RTM_NEWROUTE }, if remove { 0 } else { CREATE });
        self.put(&[family(destination.0), destination.1, 0, 0, 0, STATIC, 0, PROHIBIT, 0, 0, 0, 0]);
        self.attribute(15, &table.to_ne_bytes());
        self.attribute(1, &octets(destination.0));
        self.end();
    }

    /// A routing rule of a bridge; with `remove`, takes it back.
    pub(crate) fn bridge_rule(
        &mut self,
        step: &'static str,
        remove: bool,
        select: Selector<'_>,
        action: Action,
        priority: u32,
    ) {
        const TO_TABLE: u8 = 1;
        const REFUSE: u8 = 8;
        self.begin(step, if remove { RTM_DELRULE } else { RTM_NEWRULE }, if remove { 0 } else { CREATE });
        let length = |ip: IpAddr| if ip.is_ipv6() { 128 } else { 32 };
        let source = select.source.map_or(0, length);
        let destination = select.destination.map_or(0, |(_, prefix)| prefix);
        let family = if select.ipv6 { libc::AF_INET6 } else { libc::AF_INET } as u8;
        let kind = if matches!(action, Action::Table(_)) { TO_TABLE } else { REFUSE };
        self.put(&[family, destination, source, 0, 0, 0, 0, kind, 0, 0, 0, 0]);
        self.attribute(6, &priority.to_ne_bytes());
        self.text(3, select.from_interface);
        if let Some((ip, _)) = select.destination {
            self.attribute(1, &octets(ip));
        }
        if let Some(ip) = select.source {
            self.attribute(2, &octets(ip));
        }
        if let Action::Table(table) = action {
            self.attribute(15, &table.to_ne_bytes());
        }
        if let Some((protocol, first, last)) = select.ports {
            self.attribute(22, &[protocol]);
            let ([a, b], [c, d]) = (first.to_ne_bytes(), last.to_ne_bytes());
            self.attribute(23, &[a, b, c, d]);
        }
        self.end();
    }

    /// Whether there is nothing to ask for.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn text(&mut self, kind: u16, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    /// Begins an attribute that has others in it; answers its place for [`Batch::close`].
    pub(super) fn nest(&mut self, kind: u16) -> usize {
        const NESTED: u16 = 0x8000;
        self.begin_attribute(kind | NESTED, 0);
        self.bytes.len() - 4
    }

    pub(super) fn close(&mut self, place: usize) {
        let length = (self.bytes.len() - place) as u16;
        self.bytes[place..place + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

/// Whether a step failed because what it was to remove is gone.
pub(crate) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NODEV | Errno::NOENT | Errno::SRCH | Errno::ADDRNOTAVAIL)
}
