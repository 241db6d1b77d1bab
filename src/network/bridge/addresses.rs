//! Subnets, gateways, ranges and routes of `network create`: as typed, or free ones. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::define::{Taken, Wanted};
use super::object::{Lease, Range, Route};
use crate::error::{Error, Kind, Result};
use crate::network::subnet::{self, Subnet};

/// Where subnets are taken from by themselves, 256 addresses each: Podman's pools first, then those of Docker, so that one
/// is left where a site's own network has all of 10.0.0.0/8.
const POOLS: [&str; 7] =
    ["10.89.0.0/16", "10.90.0.0/15", "10.92.0.0/14", "10.96.0.0/11", "10.128.0.0/9", "172.16.0.0/12", "192.168.0.0/16"];

/// The subnets that were typed.
pub(super) fn subnets(wanted: &Wanted, taken: &Taken) -> Result<Vec<Range>> {
    if wanted.subnets.is_empty() && !(wanted.gateways.is_empty() && wanted.ranges.is_empty()) {
        return Err(Error::new("cannot set gateway or range without subnet"));
    }
    if wanted.gateways.len() > wanted.subnets.len() || wanted.ranges.len() > wanted.subnets.len() {
        return Err(Error::new("cannot set more gateways or ranges than subnets"));
    }
    let mut all: Vec<Range> = Vec::new();
    for (index, text) in wanted.subnets.iter().enumerate() {
        let subnet: Subnet = text.parse().map_err(|why: String| Error::new(why))?;
        usable(&subnet)?;
        let used = taken.subnets.iter().chain(all.iter().map(|range| &range.subnet));
        if used.into_iter().any(|other| other.overlaps(&subnet)) {
            return Err(Error::new(format!("subnet {subnet} is already used on the host or by another config"))
                .with_kind(Kind::Conflict)
                .hint("without --subnet a free one is chosen"));
        }
        if all.iter().any(|range| range.subnet.is_ipv6() == subnet.is_ipv6()) {
            return Err(Error::new("one IPv4 and one IPv6 subnet is all that a network can have here"));
        }
        let mut range = range(subnet);
        if let Some(text) = wanted.gateways.get(index) {
            range.gateway = Some(gateway(text, &subnet)?);
        }
        if let Some(text) = wanted.ranges.get(index) {
            range.lease_range = Some(lease(text, &subnet)?);
        }
        all.push(range);
    }
    Ok(all)
}

/// Refuses networks in which no container could have an address of its own.
fn usable(subnet: &Subnet) -> Result<()> {
    let (longest, ip) = if subnet.is_ipv6() { (126, subnet.address) } else { (30, subnet.address) };
    let special = match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() || ip.octets()[0] >= 240,
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() || ip.is_unicast_link_local(),
    };
    if special || subnet.prefix == 0 {
        return Err(Error::new(format!("subnet {subnet} cannot be used: its addresses have a meaning of their own")));
    }
    if subnet.prefix > longest {
        return Err(Error::new(format!("subnet {subnet} is too small: the prefix can be at most /{longest}")));
    }
    if subnet.overlaps(&Subnet { address: Ipv4Addr::new(10, 0, 2, 0).into(), prefix: 24 })
        || subnet.overlaps(&Subnet { address: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0).into(), prefix: 64 })
    {
        return Err(Error::new(format!("subnet {subnet} is already used on the host or by another config"))
            .hint("10.0.2.0/24 and fd00::/64 lead to the outside (slirp4netns)"));
    }
    Ok(())
}

/// A subnet with its first address as the gateway.
pub(super) fn range(subnet: Subnet) -> Range {
    Range { gateway: subnet.first_host(), subnet, lease_range: None }
}

fn gateway(text: &str, subnet: &Subnet) -> Result<IpAddr> {
    let ip: IpAddr = text.parse().map_err(|_| Error::new(format!("invalid gateway address {text:?}")))?;
    if !subnet.contains(ip) {
        return Err(Error::new(format!("gateway {ip} not in subnet {subnet}")));
    }
    if ip == subnet.address || (!subnet.is_ipv6() && ip == subnet.last()) {
        return Err(Error::new(format!("gateway {ip} is the network's own or its broadcast address")));
    }
    Ok(ip)
}

/// `10.2.0.128/25` or `10.2.0.10-10.2.0.20`.
pub(super) fn lease(text: &str, subnet: &Subnet) -> Result<Lease> {
    let invalid =
        || Error::new(format!("invalid --ip-range {text:?}")).hint("write 10.2.0.128/25 or 10.2.0.10-10.2.0.20");
    let (start_ip, end_ip) = match text.split_once('-') {
        Some((first, last)) => (first.parse().map_err(|_| invalid())?, last.parse().map_err(|_| invalid())?),
        None => {
            let range: Subnet = text.parse().map_err(|_| invalid())?;
            (range.first_host().ok_or_else(invalid)?, range.last())
        }
    };
    for (what, ip) in [("start", start_ip), ("end", end_ip)] {
        if !subnet.contains(ip) {
            return Err(Error::new(format!("lease range {what} ip {ip} not in subnet {subnet}")));
        }
    }
    if start_ip > end_ip {
        return Err(invalid());
    }
    Ok(Lease { start_ip, end_ip })
}

/// `DESTINATION,GATEWAY[,METRIC]`.
pub(super) fn route(text: &str, subnets: &[Range]) -> Result<Route> {
    let invalid =
        |why: String| Error::new(format!("invalid route {text:?}: {why}")).hint("write DESTINATION,GATEWAY[,METRIC]");
    let parts: Vec<&str> = text.split(',').collect();
    let (destination, gateway, metric) = match parts[..] {
        [destination, gateway] => (destination, gateway, None),
        [destination, gateway, metric] => (destination, gateway, Some(metric)),
        _ => return Err(invalid("two or three parts are needed".to_owned())),
    };
    let destination: Subnet = destination.parse().map_err(invalid)?;
    let gateway: IpAddr = gateway.parse().map_err(|_| invalid(format!("{gateway:?} is no IP address")))?;
    let metric = metric.map(|text| text.parse().map_err(|_| invalid(format!("{text:?} is no metric")))).transpose()?;
    if destination.is_ipv6() != gateway.is_ipv6() {
        return Err(invalid("destination and gateway are of different protocol versions".to_owned()));
    }
    if !subnets.iter().any(|range| range.subnet.contains(gateway)) {
        return Err(invalid(format!("the gateway {gateway} is not in a subnet of this network")));
    }
    Ok(Route { destination, gateway, metric })
}

/// The first free one of 256 addresses.
pub(super) fn free(taken: &Taken, own: &[Range]) -> Result<Subnet> {
    for pool in POOLS {
        let Ok(pool) = pool.parse::<Subnet>() else { continue };
        let mut next = Some(pool.address);
        while let Some(subnet) = next.filter(|ip| pool.contains(*ip)).and_then(|ip| Subnet::of(ip, 24)) {
            let used = taken.subnets.iter().chain(own.iter().map(|range| &range.subnet));
            // Past everything that overlaps, not past one candidate after the other: a route may cover the whole pool.
            match used.filter(|other| other.overlaps(&subnet)).map(Subnet::last).max() {
                None => return Ok(subnet),
                Some(last) => next = subnet::after(last.max(subnet.last()), 1),
            }
        }
    }
    Err(Error::new("could not find free subnet from subnet pools").hint("name one with --subnet"))
}

/// A random network of RFC 4193.
pub(super) fn unique_local(random: [u8; 7]) -> Result<Subnet> {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..8].copy_from_slice(&random);
    Subnet::of(Ipv6Addr::from(octets).into(), 64).ok_or_else(|| Error::new("no IPv6 network could be made"))
}
