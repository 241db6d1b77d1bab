//! Bridges and cables in the netkeeper's namespace, by netlink. Where packets from a bridge may go is said by `rules`.

use std::collections::HashMap;
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;

use super::order::{Address, Join};
use super::parents::Parents;
use super::rules;
use super::unplug::unplug;
use crate::error::{Context, Error, Kind, Result};
use crate::network::bridge::driver::{Attachment, Driver, MacvlanMode, attachment};
use crate::network::bridge::object::Network;
use crate::network::overlay::tap_name;
use crate::network::ports::Protocol;
use crate::sys::netlink::{self, Batch, Index, Mac, Peer, SubInterface, SubKind, is_gone};
use crate::sys::process::exit_now;
use crate::sys::{namespace, tun};

/// Of bridges and cables where the network says nothing: what the uplink takes. Nothing below it is a real wire.
const MTU: u32 = 65520;

/// Preference of a container's default routes: the first network's before the second's.
const METRIC: u32 = 100;

/// What is wired.
#[derive(Debug)]
pub(super) struct Wires {
    netlink: OwnedFd,
    own: OwnedFd,
    ipv6: bool,
    /// By their interface: several networks may share one.
    bridges: HashMap<String, Bridge>,
    /// Made with the first network that needs one.
    parents: Option<Parents>,
    cables: u32,
}

#[derive(Debug)]
struct Bridge {
    network: Network,
    index: u32,
    users: usize,
}

/// A container's cable to one network.
#[derive(Debug)]
pub(super) struct Cable {
    pub network: String,
    bridge: String,
    attachment: Attachment,
    /// Of its end in the bridge, if it has one.
    name: String,
    interface: String,
    addresses: Vec<Address>,
    ports: Vec<(Protocol, u16, u16)>,
}

impl Wires {
    /// Prepares the namespace `own`, which the caller is in.
    pub(super) fn new(own: OwnedFd) -> Result<Self> {
        let what = || "cannot prepare the network namespace";
        let netlink = netlink::socket().context(what)?;
        let ipv6 = Path::new("/proc/sys/net/ipv6").exists();
        let set = |path: &str, value: &str| std::fs::write(Path::new("/proc/sys/net").join(path), value);
        set("ipv4/ip_forward", "1").context(what)?;
        set("ipv4/conf/all/rp_filter", "1").context(what)?;
        set("ipv4/conf/default/rp_filter", "1").context(what)?;
        if ipv6 {
            set("ipv6/conf/all/forwarding", "1").context(what)?;
        }
        // Bridged packets have no business with the rules of routed ones; kernels without br_netfilter have no such files.
        for name in ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables"] {
            let _ = set(&format!("bridge/{name}"), "0");
        }
        // slirp4netns looks for the containers' addresses as for neighbours, and is answered in their place.
        if let Ok(uplink) = tun::interface_index(&netlink, c"tap0") {
            set("ipv4/conf/tap0/proxy_arp", "1").context(what)?;
            // It takes such answers over IPv6 for ones about the answerer itself, so there all have the uplink's address. Without
            // nf_tables in the kernel, IPv6 works between containers and for published ports.
            let _ = ipv6 && netlink::masquerade_ipv6(uplink).is_ok();
        }
        let mut batch = Batch::default();
        rules::prepare(&mut batch, ipv6);
        apply(&netlink, &batch)?;
        Ok(Self { netlink, own, ipv6, bridges: HashMap::new(), parents: None, cables: 0 })
    }

    /// The interfaces of the bridges that there are.
    pub(super) fn bridges(&self) -> Vec<&str> {
        self.bridges.keys().map(String::as_str).collect()
    }

    /// The namespace that bridges are in.
    pub(super) fn namespace(&self) -> &OwnedFd {
        &self.own
    }

    /// Refuses a network that is not the one that containers are on under its name, or that has addresses of one of them.
    pub(super) fn check(&mut self, network: &Network) -> Result<()> {
        self.clear_for(network);
        let conflict = |what: String| Err(Error::new(what).with_kind(Kind::Conflict));
        for bridge in self.bridges.values() {
            let name = &bridge.network.name;
            if same(&bridge.network, network) {
                continue;
            }
            if *name == network.name || bridge.network.network_interface == network.network_interface {
                return conflict(format!("network {name} was made anew while containers are on the old one"))
                    .map_err(|e| e.hint("stop the containers that are on it"));
            }
            let overlap = |range: &&crate::network::bridge::object::Range| {
                bridge.network.subnets.iter().any(|other| other.subnet.overlaps(&range.subnet))
            };
            if let Some(range) = network.subnets.iter().find(overlap) {
                return conflict(format!(
                    "subnet {} of network {} overlaps with network {name}",
                    range.subnet, network.name
                ));
            }
        }
        if !self.ipv6 && network.range(true).is_some() {
            return Err(Error::new(format!(
                "network {} has IPv6 addresses, but this kernel has no IPv6",
                network.name
            )));
        }
        Ok(())
    }

    /// Connects a network namespace; on failure nothing stays connected.
    pub(super) fn connect(
        &mut self,
        joins: &[Join],
        ports: &[(Protocol, u16)],
        namespace: &OwnedFd,
        metric: usize,
    ) -> Result<Vec<Cable>> {
        let mut made = Vec::with_capacity(joins.len());
        match self.try_connect(joins, ports, namespace, metric, &mut made) {
            Ok(()) => Ok(made),
            Err(error) => {
                for cable in made {
                    self.disconnect(cable, Some(namespace));
                }
                Err(error)
            }
        }
    }

    fn try_connect(
        &mut self,
        joins: &[Join],
        ports: &[(Protocol, u16)],
        namespace: &OwnedFd,
        metric: usize,
        made: &mut Vec<Cable>,
    ) -> Result<()> {
        for join in joins {
            let index = self.bridge(&join.network)?;
            self.cables = self.cables.wrapping_add(1);
            if join.network.driver == Driver::Overlay.as_str() {
                let mut batch = Batch::default();
                batch.enslave("connect the bridge to other hosts", &tap_name(&join.network)?, index);
                apply(&self.netlink, &batch)?;
            }
            let cable = Cable {
                network: join.network.name.clone(),
                bridge: join.network.network_interface.clone(),
                attachment: attachment(&join.network),
                name: format!("rpod{:x}", self.cables),
                interface: join.endpoint.interface.clone().unwrap_or_default(),
                addresses: join.addresses(),
                ports: rules::ranges(ports),
            };
            // From here on the bridge has a user, who may have to be taken off again.
            made.push(cable);
            let Some(cable) = made.last() else { return Ok(()) };
            match self.attach(join, cable, index, namespace)? {
                // What a netkeeper that was killed left.
                Err((_, Errno::EXIST)) => {
                    self.remove_inside(namespace, &cable.interface)?;
                    self.attach(join, cable, index, namespace)?.map_err(explain)?;
                }
                result => result.map_err(explain)?,
            }
            let mut batch = Batch::default();
            rules::of_ports(&mut batch, &cable.bridge, &cable.ips(), &cable.ports, false);
            if !batch.is_empty() {
                apply(&self.netlink, &batch)?;
            }
        }
        self.inside(namespace, |socket| {
            joins.iter().enumerate().try_for_each(|(number, join)| configure(socket, join, metric + number))
        })
    }

    /// Makes a container's interface, down. The inner result is the kernel's.
    fn attach(
        &mut self,
        join: &Join,
        cable: &Cable,
        bridge: u32,
        namespace: &OwnedFd,
    ) -> Result<Result<(), (&'static str, Errno)>> {
        let mac = join.endpoint.mac.unwrap_or_default();
        let mtu = join.network.mtu().unwrap_or(MTU);
        let peer = Peer { name: &cable.interface, mac, namespace: namespace.as_fd() };
        let kind = match cable.attachment {
            Attachment::Cable => {
                let mut batch = Batch::default();
                batch.cable("connect the container to the bridge", &cable.name, bridge, mtu, peer);
                return Ok(batch.apply_all(&self.netlink, 0));
            }
            Attachment::Macvlan(mode) => SubKind::Macvlan(mode as u32),
            Attachment::Ipvlan => SubKind::Ipvlan,
        };
        let parents = match &mut self.parents {
            Some(parents) => parents,
            None => self.parents.insert(Parents::new(&self.own)?),
        };
        // The interfaces on it have the parent's address in these cases.
        let passed = matches!(cable.attachment, Attachment::Ipvlan | Attachment::Macvlan(MacvlanMode::Passthru));
        let parent_mac = if passed { mac } else { parent_mac(self.cables) };
        let bridge = (cable.bridge.as_str(), bridge);
        let parent = parents.get(bridge, cable.attachment, &cable.name, parent_mac, mtu, &self.netlink)?;
        Ok(parents.attach(&SubInterface { parent, kind, mtu, peer }))
    }

    fn remove_inside(&self, namespace: &OwnedFd, interface: &str) -> Result<()> {
        self.inside(namespace, |socket| {
            let mut removal = Batch::default();
            removal.remove_link("remove the old interface", interface);
            apply(socket, &removal)
        })
    }

    /// Takes a cable away. `namespace` is the container's, if it is still there: with it, all of its interfaces go.
    pub(super) fn disconnect(&mut self, cable: Cable, namespace: Option<&OwnedFd>) {
        let mut batch = Batch::default();
        rules::of_ports(&mut batch, &cable.bridge, &cable.ips(), &cable.ports, true);
        if !batch.is_empty() {
            // They are rules of this bridge only, and nobody has the address now.
            let _ = batch.apply_all(&self.netlink, 0);
        }
        match (cable.attachment, namespace) {
            (Attachment::Cable, _) | (Attachment::Macvlan(MacvlanMode::Passthru), _) => {
                unplug(std::slice::from_ref(&cable.name), namespace.is_some());
            }
            (_, Some(namespace)) => {
                // It may be gone: the container's root can remove it.
                let _ = self.remove_inside(namespace, &cable.interface);
            }
            (_, None) => {}
        }
        // A bridge without users stays: making one takes time, and it ends with the netkeeper.
        if let Some(bridge) = self.bridges.get_mut(&cable.bridge) {
            bridge.users = bridge.users.saturating_sub(1);
        }
    }

    /// Removes bridges without users that are in the way of this network.
    fn clear_for(&mut self, network: &Network) {
        let in_the_way = |bridge: &Bridge| {
            let other = &bridge.network;
            bridge.users == 0
                && !same(other, network)
                && (other.name == network.name
                    || other.network_interface == network.network_interface
                    || other.subnets.iter().any(|a| network.subnets.iter().any(|b| a.subnet.overlaps(&b.subnet))))
        };
        let names: Vec<String> =
            self.bridges.iter().filter(|(_, bridge)| in_the_way(bridge)).map(|(name, _)| name.clone()).collect();
        for bridge in names.iter().filter_map(|name| self.bridges.remove(name)).collect::<Vec<_>>() {
            if let Some(parents) = &mut self.parents {
                parents.forget(&bridge.network.network_interface);
            }
            let mut batch = Batch::default();
            rules::of_network(&mut batch, &bridge.network, self.ipv6, true);
            batch.remove_link("remove a bridge", &bridge.network.network_interface);
            // What stays of it makes the new one fail, which is told.
            let _ = batch.apply_all(&self.netlink, 0);
        }
    }

    /// The bridge's index, for one more user; made when it is the first.
    fn bridge(&mut self, network: &Network) -> Result<u32> {
        if let Some(bridge) = self.bridges.get_mut(&network.network_interface) {
            bridge.users += 1;
            return Ok(bridge.index);
        }
        self.check(network)?;
        let name = &network.network_interface;
        let gateways: Vec<Address> = network
            .subnets
            .iter()
            .filter_map(|range| Some(Address { ip: range.gateway?, prefix: range.subnet.prefix, gateway: None }))
            .collect();
        let mut batch = Batch::default();
        // With an address of its own: one that it takes from its cables would change as they come and go.
        batch.bridge("make the bridge", name, bridge_mac(network), network.mtu().unwrap_or(MTU));
        apply(&self.netlink, &batch)?;
        let configured = self.configure_bridge(network, &gateways);
        match configured {
            Ok(index) => {
                self.bridges.insert(name.clone(), Bridge { network: network.clone(), index, users: 1 });
                Ok(index)
            }
            Err(error) => {
                let mut batch = Batch::default();
                batch.remove_link("remove the bridge", name);
                let _ = batch.apply_all(&self.netlink, 0);
                Err(error)
            }
        }
    }

    fn configure_bridge(&self, network: &Network, gateways: &[Address]) -> Result<u32> {
        let index = index(&self.netlink, &network.network_interface)?;
        let mut batch = Batch::default();
        if self.ipv6 {
            batch.no_link_local("set up IPv6", index);
        }
        batch.up("bring up the bridge", Index::Known(index), None, true);
        for address in gateways {
            batch.address("give the bridge its address", Index::Known(index), address.ip, address.prefix);
        }
        if let Some(first) = gateways.first().filter(|_| network.range(true).is_some()) {
            // Neighbours are asked for in its name when a packet's sender is a client outside.
            let ip = link_local(mac_of(first.ip)).into();
            batch.address("give the bridge its address", Index::Known(index), ip, 64);
        }
        rules::of_network(&mut batch, network, self.ipv6, false);
        apply(&self.netlink, &batch)?;
        Ok(index)
    }

    /// Runs `f` with a netlink socket of another network namespace.
    fn inside<T>(&self, namespace: &OwnedFd, f: impl FnOnce(&OwnedFd) -> Result<T>) -> Result<T> {
        let what = || "cannot enter the container's network";
        namespace::setns(namespace.as_fd(), libc::CLONE_NEWNET).context(what)?;
        let socket = netlink::socket();
        if namespace::setns(self.own.as_fd(), libc::CLONE_NEWNET).is_err() {
            // Whatever it did from here would be done to the container. Another netkeeper is better than this one.
            exit_now(1);
        }
        f(&socket.context(what)?)
    }
}

impl Cable {
    /// Its end in the bridge, if it has one of its own.
    pub(super) fn port(&self) -> Option<&str> {
        (self.attachment == Attachment::Cable).then_some(self.name.as_str())
    }

    /// What the container is given there.
    pub(super) fn ips(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(|address| address.ip).collect()
    }

    /// Where the container sees it.
    pub(super) fn interface(&self) -> &str {
        &self.interface
    }
}

/// Gives the container's end its addresses and routes.
fn configure(socket: &OwnedFd, join: &Join, metric: usize) -> Result<()> {
    let interface = join.endpoint.interface.as_deref().unwrap_or_default();
    let index = index(socket, interface)?;
    let addresses = join.addresses();
    let mut batch = Batch::default();
    // A kernel without IPv6 knows nothing of it.
    if std::path::Path::new("/proc/sys/net/ipv6").exists() {
        batch.no_link_local("set up IPv6", index);
    }
    batch.up("bring up the interface", Index::Known(index), None, true);
    for address in &addresses {
        batch.address("set the address", Index::Known(index), address.ip, address.prefix);
    }
    if let Some(ip) = join.link_local() {
        batch.address("set the link-local address", Index::Known(index), ip.into(), 64);
    }
    let metric = join.network.metric().unwrap_or(METRIC + u32::try_from(metric).unwrap_or(0));
    if join.network.has_default_route() {
        for address in &addresses {
            if let Some(gateway) = address.gateway {
                let any: IpAddr =
                    if gateway.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
                batch.route("set the default route", (any, 0), gateway, Some(metric));
            }
        }
    }
    for route in &join.network.routes {
        let destination = (route.destination.address, route.destination.prefix);
        batch.route("set a route of the network", destination, route.gateway, Some(route.metric.unwrap_or(METRIC)));
    }
    apply(socket, &batch)
}

/// Containers with the same address have the same hardware address: nobody remembers a wrong one.
pub(super) fn mac_of(ip: IpAddr) -> Mac {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [0x02, 0x42, a, b, c, d]
        }
        IpAddr::V6(ip) => {
            let [.., a, b, c, d] = ip.octets();
            [0x02, 0x43, a, b, c, d]
        }
    }
}

/// Of a network's bridge.
pub(super) fn bridge_mac(network: &Network) -> Mac {
    let first = network.subnets.iter().find_map(|range| range.gateway);
    mac_of(first.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

/// Of the end of a parent interface that no container has.
fn parent_mac(number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    [0x02, 0x44, a, b, c, d]
}

/// The hardware address that all containers on an ipvlan network have: that of what their interfaces hang on.
pub(super) fn shared_mac(network: &Network) -> Mac {
    let [_, _, rest @ ..] = mac_of(network.subnets.first().map_or(Ipv4Addr::UNSPECIFIED.into(), |r| r.subnet.address));
    let [a, b, c, d] = rest;
    [0x02, 0x45, a, b, c, d]
}

/// RFC 4291, appendix A.
pub(super) fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// Whether two descriptions are those of one bridge; name servers and labels may have changed.
fn same(a: &Network, b: &Network) -> bool {
    let facts =
        |n: &'_ Network| (n.network_interface.clone(), n.subnets.clone(), n.internal, n.mtu(), n.egress.clone());
    facts(a) == facts(b)
}

pub(super) fn index(socket: &OwnedFd, name: &str) -> Result<u32> {
    let what = || format!("cannot find the interface {name}");
    let name = CString::new(name).context(what)?;
    tun::interface_index(socket, &name).context(what)
}

pub(super) fn apply(socket: &OwnedFd, batch: &Batch) -> Result<()> {
    batch.apply_all(socket, 0).map_err(explain)
}

fn explain((step, errno): (&'static str, Errno)) -> Error {
    let error = Error::wrap(format!("cannot {step}"), errno);
    match errno {
        Errno::OPNOTSUPP => {
            error.hint("the kernel has no such interfaces (CONFIG_BRIDGE, CONFIG_VETH, CONFIG_MACVLAN, CONFIG_IPVLAN)")
        }
        e if is_gone(e) => error.hint("the container or the network has just ended"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses() {
        assert_eq!(mac_of(IpAddr::V4(Ipv4Addr::new(10, 89, 0, 5))), [2, 0x42, 10, 89, 0, 5]);
        assert_eq!(link_local([2, 0x42, 10, 89, 0, 5]).to_string(), "fe80::42:aff:fe59:5");
    }
}
