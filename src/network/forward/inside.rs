//! The container's side: routes that bring answers back, and sockets that speak in a client's name.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

use super::Addresses;
use crate::error::{Context, Error, Result};
use crate::network::helper::Facts;
use crate::network::ports::Protocol;
use crate::sys::{netlink, socket};

/// The mark of what the forwarder sends, and the numbers of its routing tables and rules: "rpod" in ASCII.
const MARK: u32 = 0x7270_6f64;
const TABLE_MARKED: u32 = MARK;
const TABLE_CLIENTS: u32 = MARK + 1;
const PRIORITY: u32 = 100;

const ANY4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// The namespace that this process is in.
#[derive(Debug)]
pub(super) struct Inside {
    netlink: OwnedFd,
    container: Vec<IpAddr>,
    gateways: Vec<IpAddr>,
    /// The container is in another namespace, behind a bridge of this one, where the netkeeper made the rules.
    bridged: bool,
    /// Routes to UDP clients, and how many flows need each.
    clients: HashMap<IpAddr, usize>,
}

/// A way to reach the service: from where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub from: Option<SocketAddr>,
    pub to: SocketAddr,
}

impl Inside {
    /// Prepares the namespace for the ports that will be forwarded.
    pub(super) fn new(facts: &Facts, ports: &[(Protocol, u16)]) -> Result<Self> {
        let what = "cannot prepare the container's network for published ports";
        let netlink = netlink::socket().context(|| what)?;
        let (container, gateways) = (facts.container.clone(), facts.gateways.clone());
        if facts.bridged {
            return Ok(Self { netlink, container, gateways, bridged: true, clients: HashMap::new() });
        }
        let ipv6 = std::path::Path::new("/proc/sys/net/ipv6").exists();
        inherit_marks(ipv6).context(|| what)?;
        let clients = ranges(ports.iter().filter(|(protocol, _)| *protocol == Protocol::Udp).map(|(_, port)| *port));
        let versions: &[IpAddr] = if ipv6 { &[ANY4, ANY6] } else { &[ANY4] };
        for any in versions {
            let mut batch = netlink::Batch::default();
            batch.local_default("route marked packets to the forwarder", TABLE_MARKED, *any);
            apply(&netlink, &batch)?;
            let mut batch = netlink::Batch::default();
            batch.rule("add a routing rule", any.is_ipv6(), netlink::Match::Mark(MARK), TABLE_MARKED, PRIORITY);
            apply(&netlink, &batch)?;
            for &(first, last) in &clients {
                let mut batch = netlink::Batch::default();
                let from = netlink::Match::UdpFrom(first, last);
                batch.rule("add a routing rule", any.is_ipv6(), from, TABLE_CLIENTS, PRIORITY + 1);
                apply(&netlink, &batch)?;
            }
        }
        Ok(Self { netlink, container, gateways, bridged: false, clients: HashMap::new() })
    }

    /// The ways to a service, best first: in the client's own name; by the other protocol version, as the gateway, for services
    /// that listen on one only.
    pub(super) fn ways(&mut self, client: SocketAddr, port: u16) -> Vec<Way> {
        if self.container.is_empty() && !self.bridged {
            // pasta gives addresses that only the namespace knows.
            if let Ok((addresses, gateways)) = netlink::addresses_and_gateways() {
                (self.container, self.gateways) = (addresses, gateways);
            }
        }
        let own = |ip: IpAddr| ip.is_ipv6() == client.is_ipv6();
        let mut ways = Vec::with_capacity(2);
        if let Some(&container) = self.container.iter().find(|ip| own(**ip)) {
            let unnameable = client.ip().is_loopback() || is_link_local(client.ip());
            let from = if unnameable { self.gateway(client.is_ipv6()) } else { Some(client.ip()) };
            ways.push(Way {
                from: from.map(|ip| SocketAddr::new(ip, client.port())),
                to: SocketAddr::new(container, port),
            });
        }
        if let Some(&container) = self.container.iter().find(|ip| !own(**ip)) {
            let from = self.gateway(container.is_ipv6()).map(|ip| SocketAddr::new(ip, client.port()));
            ways.push(Way { from, to: SocketAddr::new(container, port) });
        }
        ways
    }

    /// The container is on other networks.
    pub(super) fn readdress(&mut self, addresses: Addresses) {
        (self.container, self.gateways) = (addresses.container, addresses.gateways);
    }

    fn gateway(&self, ipv6: bool) -> Option<IpAddr> {
        self.gateways.iter().copied().find(|ip| ip.is_ipv6() == ipv6 && !is_link_local(*ip))
    }

    /// Begins a connection; it is made when the socket becomes writable.
    pub(super) fn connect(&self, way: Way) -> Result<OwnedFd, Errno> {
        let begin = |way: Way| {
            let fd = open(SocketType::STREAM, way)?;
            if !self.bridged {
                socket::set_mark(&fd, MARK)?;
            }
            sockopt::set_tcp_nodelay(&fd, true)?;
            sockopt::set_socket_keepalive(&fd, true)?;
            bind_as(&fd, way)?;
            match connect(&fd, &way.to) {
                Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
                Err(e) => Err(e),
            }
        };
        with_any_port(way, begin)
    }

    /// A connected socket for one UDP client.
    pub(super) fn datagrams(&mut self, way: Way) -> Result<OwnedFd, Errno> {
        let begin = |way: Way| {
            let fd = open(SocketType::DGRAM, way)?;
            if !self.bridged {
                socket::set_mark(&fd, MARK)?;
            }
            bind_as(&fd, way)?;
            connect(&fd, &way.to)?;
            Ok(fd)
        };
        let fd = with_any_port(way, begin)?;
        self.keep_route(way)?;
        Ok(fd)
    }

    /// Brings back what goes to a client; once for each [`Inside::datagrams`].
    fn keep_route(&mut self, way: Way) -> Result<(), Errno> {
        let Some(client) = self.foreign(way) else { return Ok(()) };
        let flows = self.clients.entry(client).or_insert(0);
        *flows += 1;
        if *flows == 1 {
            let mut batch = netlink::Batch::default();
            batch.local_route("add a route", TABLE_CLIENTS, client, way.to.ip());
            match batch.apply(&self.netlink, 0) {
                Ok(()) | Err((_, Errno::EXIST)) => {}
                Err((_, e)) => {
                    self.clients.remove(&client);
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// A flow has ended.
    pub(super) fn drop_route(&mut self, way: Way) {
        let Some(client) = self.foreign(way) else { return };
        let Some(flows) = self.clients.get_mut(&client) else { return };
        *flows -= 1;
        if *flows == 0 {
            self.clients.remove(&client);
            let mut batch = netlink::Batch::default();
            batch.no_local_route("remove a route", TABLE_CLIENTS, client);
            // It may be gone: the container's root can change its routes.
            let _ = batch.apply(&self.netlink, 0);
        }
    }

    /// The client's address, unless it is local here anyway.
    fn foreign(&self, way: Way) -> Option<IpAddr> {
        way.from.map(|from| from.ip()).filter(|ip| !self.bridged && !self.container.contains(ip))
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn open(kind: SocketType, way: Way) -> Result<OwnedFd, Errno> {
    let family = if way.to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if way.from.is_some() {
        socket::set_transparent(&fd, way.to.is_ipv6())?;
    }
    Ok(fd)
}

fn bind_as(fd: &OwnedFd, way: Way) -> Result<(), Errno> {
    let Some(from) = way.from else { return Ok(()) };
    if from.port() == 0 {
        socket::bind_address_only(fd)?;
    } else {
        sockopt::set_socket_reuseaddr(fd, true)?;
    }
    bind(fd, &from)
}

/// Keeps the client's port too, unless it is taken: by a connection to another published port of the same service.
fn with_any_port(way: Way, begin: impl Fn(Way) -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    match begin(way) {
        Err(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL) => {
            begin(Way { from: way.from.map(|from| SocketAddr::new(from.ip(), 0)), ..way })
        }
        result => result,
    }
}

/// What is there already was made by a forwarder that is gone.
fn apply(socket: &OwnedFd, batch: &netlink::Batch) -> Result<()> {
    match batch.apply(socket, 0) {
        Ok(()) | Err((_, Errno::EXIST)) => Ok(()),
        Err((step, e)) => Err(Error::wrap(format!("cannot publish ports: cannot {step}"), e)),
    }
}

/// Connections accepted from marked packets, and refusals of marked packets (TCP resets, ICMP errors), carry the mark too
/// (Linux 3.16).
fn inherit_marks(ipv6: bool) -> std::io::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/tcp_fwmark_accept", "1")?;
    std::fs::write("/proc/sys/net/ipv4/fwmark_reflect", "1")?;
    if ipv6 {
        std::fs::write("/proc/sys/net/ipv6/fwmark_reflect", "1")?;
    }
    Ok(())
}

/// Ports as few ranges.
fn ranges(ports: impl Iterator<Item = u16>) -> Vec<(u16, u16)> {
    let mut ports: Vec<u16> = ports.collect();
    ports.sort_unstable();
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match ranges.last_mut() {
            Some((_, last)) if port <= last.saturating_add(1) => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    #[test]
    fn ranges_of_ports() {
        let ranges = |ports: &[u16]| super::ranges(ports.iter().copied());
        assert_eq!(ranges(&[]), []);
        assert_eq!(ranges(&[5, 3, 4, 4, 9, 65535, 65534]), [(3, 5), (9, 9), (65534, 65535)]);
    }
}
