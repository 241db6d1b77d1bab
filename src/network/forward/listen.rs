//! The host's side: taking the ports, before anything else of the container exists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};

use super::{Listener, Listeners};
use crate::error::{Error, Kind, Result};
use crate::network::ports::{PortMapping, Protocol};
use crate::sys::socket;

const BACKLOG: i32 = 4096;

/// How often another random port is tried when it is free for one protocol version only.
const TRIES: u32 = 32;

/// Listens on every mapping's host address and port; random ports are chosen here: those of `before`, where they are free.
///
/// # Errors
/// Of kind `Conflict` when a port is taken.
pub(crate) fn listen(mappings: &[PortMapping], before: &[PortMapping]) -> Result<Listeners> {
    let mut before = before.to_vec();
    let mut listeners = Listeners { mappings: Vec::with_capacity(mappings.len()), sockets: Vec::new() };
    raise_descriptor_limit(mappings.len());
    for mapping in mappings {
        let mut mapping = mapping.clone();
        let sockets = match mapping.host_port {
            0 => again(&mut mapping, &mut before).map_or_else(|| random(&mut mapping), Ok),
            _ => open_all(&mapping),
        };
        listeners.sockets.extend(sockets.map_err(|(address, e)| explain(&mapping, address, e))?);
        listeners.mappings.push(mapping);
    }
    Ok(listeners)
}

type Failed = (SocketAddr, Errno);

/// On the port that the mapping had before, if it had one that is free.
fn again(mapping: &mut PortMapping, before: &mut Vec<PortMapping>) -> Option<Vec<Listener>> {
    let of = |known: &PortMapping| (known.host_ip, known.container_port, known.protocol);
    let known = before.iter().position(|known| of(known) == of(mapping)).map(|index| before.remove(index))?;
    let sockets = open_all(&known).ok()?;
    *mapping = known;
    Some(sockets)
}

fn random(mapping: &mut PortMapping) -> Result<Vec<Listener>, Failed> {
    let mut tries = 0;
    loop {
        let probe = *addresses(mapping).first().unwrap_or(&SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
        let first = open(mapping, probe).map_err(|e| (probe, e))?;
        let port = first.address.port();
        let chosen = PortMapping { host_port: port, ..mapping.clone() };
        let mut sockets = vec![first];
        match addresses(&chosen).into_iter().skip(1).try_for_each(|address| add(&chosen, address, &mut sockets)) {
            Ok(()) => {
                mapping.host_port = port;
                return Ok(sockets);
            }
            Err((_, Errno::ADDRINUSE)) if tries < TRIES => tries += 1,
            Err(failed) => return Err(failed),
        }
    }
}

fn open_all(mapping: &PortMapping) -> Result<Vec<Listener>, Failed> {
    let mut sockets = Vec::with_capacity(2);
    addresses(mapping).into_iter().try_for_each(|address| add(mapping, address, &mut sockets))?;
    Ok(sockets)
}

fn add(mapping: &PortMapping, address: SocketAddr, sockets: &mut Vec<Listener>) -> Result<(), Failed> {
    match open(mapping, address) {
        Ok(socket) => sockets.push(socket),
        // A host without IPv6: published on what there is.
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if mapping.host_ip.is_none() && address.is_ipv6() => {}
        Err(e) => return Err((address, e)),
    }
    Ok(())
}

fn addresses(mapping: &PortMapping) -> Vec<SocketAddr> {
    let ips = match mapping.host_ip {
        Some(ip) => vec![ip],
        None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, mapping.host_port)).collect()
}

fn open(mapping: &PortMapping, address: SocketAddr) -> Result<Listener, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match mapping.protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let fd = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    match mapping.protocol {
        Protocol::Tcp => {
            // Connections of a former container that linger do not keep the port.
            sockopt::set_socket_reuseaddr(&fd, true)?;
            bind(&fd, &address)?;
            rustix::net::listen(&fd, BACKLOG)?;
        }
        Protocol::Udp => {
            socket::tell_destination(&fd, address.is_ipv6())?;
            bind(&fd, &address)?;
        }
    }
    let address = bound(&fd).unwrap_or(address);
    Ok(Listener { socket: fd, address, protocol: mapping.protocol, container_port: mapping.container_port })
}

fn bound(fd: &OwnedFd) -> Option<SocketAddr> {
    SocketAddr::try_from(getsockname(fd).ok()?).ok()
}

fn explain(mapping: &PortMapping, address: SocketAddr, e: Errno) -> Error {
    let what = format!("cannot publish port {}/{} on {}", address.port(), mapping.protocol, address.ip());
    let error = Error::wrap(what, e);
    match e {
        Errno::ADDRINUSE => {
            let error = error.with_kind(Kind::Conflict);
            error.hint("Another process or container listens there: choose another host port, or let rpod choose with -p CONTAINER-PORT")
        }
        Errno::ACCESS if address.port() < 1024 => {
            let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
            let first = first.trim().parse::<u16>().unwrap_or(1024);
            error
                .hint(format!(
                    "Ports below {first} are for root on this host: choose another one, for example -p {}:{}",
                    u32::from(address.port()) + 8000,
                    mapping.container_port
                ))
                .hint(format!("Or have root allow it: sysctl net.ipv4.ip_unprivileged_port_start={}", address.port()))
        }
        Errno::ADDRNOTAVAIL => error.hint("The address belongs to no interface of this host"),
        Errno::MFILE => error.hint("The limit of open files is too low for so many ports (ulimit -n)"),
        _ => error,
    }
}

/// Two descriptors for each port, and some to work with.
fn raise_descriptor_limit(mappings: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = 2 * mappings as u64 + 256;
    if mappings > 256 && limit.current.is_some_and(|current| current < wanted) {
        // Without it, opening fails and says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}
