//! `network create` as typed → [`Network`]. Pure: what is taken already comes in as data. Refusals have Podman's words.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

use super::addresses::{free, lease, range, route, subnets, unique_local};
use super::driver::{self, Driver, Segment};
use super::object::{self, Network};
use super::options::options;
use crate::error::{Error, Kind, Result};
use crate::network::egress::policy::Policy;
use crate::network::overlay::settings;
use crate::network::subnet::Subnet;
use crate::state::names;

/// What was typed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub name: Option<String>,
    pub driver: String,
    pub subnets: Vec<String>,
    pub gateways: Vec<String>,
    pub ranges: Vec<String>,
    pub routes: Vec<String>,
    pub dns: Vec<String>,
    pub interface: Option<String>,
    pub ipam_driver: Option<String>,
    pub internal: bool,
    pub ipv6: bool,
    pub disable_dns: bool,
    pub labels: BTreeMap<String, String>,
    pub options: Vec<String>,
    pub egress: Vec<String>,
}

/// What cannot be had any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    /// Of other networks, and of the host's interfaces, routes and resolvers.
    pub subnets: Vec<Subnet>,
    pub names: Vec<String>,
    /// Of bridges.
    pub interfaces: Vec<String>,
    /// The networks that exist, on whose segments others may be.
    pub networks: Vec<Network>,
    /// The host's interfaces.
    pub host_interfaces: Vec<String>,
}

/// Modes of `--network`, which cannot be names of networks.
const MODES: [&str; 10] =
    ["none", "host", "default", "private", "container", "ns", "slirp4netns", "pasta", "bridge", "pod"];

/// The network, or why there cannot be one. `random` gives a new IPv6 network its number (RFC 4193).
pub(crate) fn define(wanted: &Wanted, taken: &Taken, random: [u8; 7], now: Timestamp) -> Result<Network> {
    let driver = Driver::parse(&wanted.driver)?;
    address_management(wanted)?;
    let name = name(wanted, taken)?;
    let mut options = options(wanted, driver)?;
    let docker_name = options.remove("com.docker.network.bridge.name");
    let parent = options.get("parent").map(String::as_str);
    let segment = driver::segment(driver, parent, &taken.networks, &taken.host_interfaces)?;
    if let Segment::Of(other) = segment {
        return shared(wanted, driver, name, options, other, now);
    }
    let interface = interface(wanted.interface.as_deref().or(docker_name.as_deref()), taken)?;
    let mut subnets = subnets(wanted, taken)?;
    let overlay = driver == Driver::Overlay;
    let [four, six] = if overlay { settings::subnets(&name) } else { [None, None] };
    if !subnets.iter().any(|range| !range.subnet.is_ipv6()) && (wanted.subnets.is_empty() || wanted.ipv6) {
        let subnet = match four {
            Some(four) if taken.subnets.iter().any(|other| other.overlaps(&four)) => {
                return Err(Error::new(format!("subnet {four} is already used on the host or by another config"))
                    .with_kind(Kind::Conflict)
                    .hint("name another one with --subnet, the same on all hosts of this network"));
            }
            Some(four) => four,
            None => free(taken, &subnets)?,
        };
        subnets.insert(0, range(subnet));
    }
    if wanted.ipv6 && !subnets.iter().any(|range| range.subnet.is_ipv6()) {
        subnets.push(range(six.map_or_else(|| unique_local(random), Ok)?));
    }
    if overlay {
        options.entry("mtu".to_owned()).or_insert_with(|| settings::MTU.to_string());
    }
    let ipv6_enabled = subnets.iter().any(|range| range.subnet.is_ipv6());
    if ipv6_enabled && options.get("mtu").and_then(|mtu| mtu.parse::<u32>().ok()).is_some_and(|mtu| mtu < 1280) {
        return Err(Error::new("mtu: IPv6 needs at least 1280"));
    }
    let routes = wanted.routes.iter().map(|text| route(text, &subnets)).collect::<Result<_>>()?;
    let network = Network {
        id: object::id(&name),
        name,
        driver: driver.as_str().to_owned(),
        network_interface: interface,
        created: now,
        subnets,
        routes,
        ipv6_enabled,
        internal: wanted.internal || matches!(segment, Segment::CutOff),
        dns_enabled: !wanted.disable_dns,
        network_dns_servers: name_servers(wanted)?,
        labels: wanted.labels.clone(),
        options,
        ipam_options: object::host_local(),
        egress: Policy::parse(&wanted.egress)?,
    };
    if overlay {
        settings::complete(&settings::of(&network)?)?;
    }
    Ok(network)
}

/// A network on the segment of another one: with its addresses, and what it says of the way out.
fn shared(
    wanted: &Wanted,
    driver: Driver,
    name: String,
    mut options: BTreeMap<String, String>,
    other: &Network,
    now: Timestamp,
) -> Result<Network> {
    let what =
        |why: String| Error::new(format!("network {name} is to share the segment of network {}: {why}", other.name));
    if wanted.internal != other.internal && wanted.internal {
        return Err(what("that one has a way out".to_owned()).hint("without --internal it is as the other network is"));
    }
    if !wanted.egress.is_empty() {
        return Err(what("so is its egress policy".to_owned()));
    }
    if wanted.interface.is_some() || !wanted.gateways.is_empty() || !wanted.routes.is_empty() {
        return Err(what("interface, gateway and routes are that one's".to_owned()));
    }
    if options.get("mtu").is_some_and(|mtu| other.options.get("mtu") != Some(mtu)) {
        return Err(what("the mtu is that one's".to_owned()));
    }
    for key in ["mtu", "no_default_route"] {
        options.extend(other.options.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    let mut subnets = other.subnets.clone();
    subnets.iter_mut().for_each(|range| range.lease_range = None);
    for (index, text) in wanted.subnets.iter().enumerate() {
        let subnet: Subnet = text.parse().map_err(|why: String| Error::new(why))?;
        let range = subnets.iter_mut().find(|range| range.subnet == subnet);
        let range = range.ok_or_else(|| what(format!("{subnet} is not a subnet of that one")))?;
        if let Some(text) = wanted.ranges.get(index) {
            range.lease_range = Some(lease(text, &subnet)?);
        }
    }
    if wanted.ranges.len() > wanted.subnets.len() {
        return Err(Error::new("cannot set more gateways or ranges than subnets"));
    }
    Ok(Network {
        id: object::id(&name),
        driver: driver.as_str().to_owned(),
        created: now,
        subnets,
        dns_enabled: !wanted.disable_dns,
        network_dns_servers: name_servers(wanted)?,
        labels: wanted.labels.clone(),
        options,
        name,
        ..other.clone()
    })
}

fn name_servers(wanted: &Wanted) -> Result<Vec<IpAddr>> {
    let parse = |text: &String| {
        text.parse::<IpAddr>()
            .map_err(|_| Error::new(format!("unable to parse ip {text}")).hint("--dns takes IP addresses"))
    };
    if !wanted.dns.is_empty() && wanted.disable_dns {
        return Err(Error::new("cannot set NetworkDNSServers if DNS is not enabled for the network: invalid argument"));
    }
    wanted.dns.iter().map(parse).collect()
}

fn address_management(wanted: &Wanted) -> Result<()> {
    match wanted.ipam_driver.as_deref() {
        None | Some("" | "host-local") => Ok(()),
        Some("none" | "dhcp") => Err(Error::new("only the ipam driver host-local gives addresses on a bridge here")),
        Some(other) => Err(Error::new(format!("unsupported ipam driver {other:?}"))),
    }
}

fn name(wanted: &Wanted, taken: &Taken) -> Result<String> {
    let Some(name) = &wanted.name else {
        let free = (1..).map(|number: u32| format!("podman{number}")).find(|name| !taken.names.contains(name));
        return free.ok_or_else(|| Error::new("no network name is left"));
    };
    names::check(name).map_err(|e| Error::wrap(format!("network name {name} invalid"), e))?;
    if MODES.contains(&name.as_str()) {
        return Err(Error::new(format!(
            "cannot create network with name {name:?} because it conflicts with a valid network mode"
        )));
    }
    if taken.names.contains(name) {
        return Err(
            Error::new(format!("network name {name} already used: network already exists")).with_kind(Kind::Conflict)
        );
    }
    Ok(name.clone())
}

/// A bridge's name (netdevice(7)): unused, and free for the ends of cables that containers are connected by.
fn interface(wanted: Option<&str>, taken: &Taken) -> Result<String> {
    let Some(name) = wanted else {
        let free = (1..).map(|number: u32| format!("podman{number}")).find(|name| !taken.interfaces.contains(name));
        return free.ok_or_else(|| Error::new("no interface name is left"));
    };
    check_interface(name)?;
    if name == "lo" || name.starts_with("tap") || name.starts_with("rpod") {
        return Err(Error::new(format!("the interface name {name} is used by rpod itself")));
    }
    if taken.interfaces.iter().any(|other| other == name) {
        return Err(Error::new(format!("bridge name {name} already in use")).with_kind(Kind::Conflict));
    }
    Ok(name.to_owned())
}

/// Refuses what the kernel would not take for the name of an interface (dev_valid_name()).
pub(crate) fn check_interface(name: &str) -> Result<()> {
    let odd = |b: u8| b == b'/' || b == b':' || b.is_ascii_whitespace() || !b.is_ascii_graphic() || b == b'%';
    if name.is_empty() || name.len() > 15 || name == "." || name == ".." || name.bytes().any(odd) {
        return Err(Error::new(format!("{name:?} cannot be the name of an interface"))
            .hint("1 to 15 visible ASCII characters, without / and :"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::bridge::object::Range;

    fn wanted(words: &str) -> Wanted {
        let mut wanted = Wanted { name: Some("n".into()), ..Wanted::default() };
        for word in words.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let value = value.to_owned();
            match key {
                "subnet" => wanted.subnets.push(value),
                "gateway" => wanted.gateways.push(value),
                "range" => wanted.ranges.push(value),
                "route" => wanted.routes.push(value),
                "dns" => wanted.dns.push(value),
                "opt" => wanted.options.push(value),
                "driver" => wanted.driver = value,
                "name" => wanted.name = Some(value),
                "interface" => wanted.interface = Some(value),
                "ipv6" => wanted.ipv6 = true,
                "nodns" => wanted.disable_dns = true,
                _ => panic!("{word}"),
            }
        }
        wanted
    }

    fn taken() -> Taken {
        let subnets = ["10.89.0.0/24", "10.89.2.0/23", "192.0.2.0/24"];
        Taken {
            subnets: subnets.iter().filter_map(|text| text.parse().ok()).collect(),
            names: vec!["podman".into(), "podman1".into()],
            interfaces: vec!["podman0".into(), "podman1".into()],
            networks: vec![Network::standard(Timestamp::UNIX_EPOCH)],
            host_interfaces: vec!["lo".into(), "eth0".into()],
        }
    }

    fn show(words: &str) -> String {
        match define(&wanted(words), &taken(), [1, 2, 3, 4, 5, 6, 7], Timestamp::UNIX_EPOCH) {
            Err(e) => format!("ERR {e}"),
            Ok(network) => {
                let range = |range: &Range| {
                    let lease = range.lease_range.map(|l| format!(" {}-{}", l.start_ip, l.end_ip)).unwrap_or_default();
                    format!("{} {}{lease}", range.subnet, range.gateway.map(|ip| ip.to_string()).unwrap_or_default())
                };
                network.subnets.iter().map(range).collect::<Vec<_>>().join(", ")
            }
        }
    }

    #[test]
    fn subnets_are_chosen_or_checked() {
        for (words, expected) in [
            ("", "10.89.1.0/24 10.89.1.1"),
            ("ipv6", "10.89.1.0/24 10.89.1.1, fd01:203:405:607::/64 fd01:203:405:607::1"),
            ("subnet=10.77.0.9/24", "10.77.0.0/24 10.77.0.1"),
            (
                "subnet=10.77.0.0/24 gateway=10.77.0.254 range=10.77.0.128/25",
                "10.77.0.0/24 10.77.0.254 10.77.0.129-10.77.0.255",
            ),
            ("subnet=10.77.0.0/24 range=10.77.0.5-10.77.0.9", "10.77.0.0/24 10.77.0.1 10.77.0.5-10.77.0.9"),
            ("subnet=fd99::/64", "fd99::/64 fd99::1"),
            ("subnet=fd99::/64 ipv6", "10.89.1.0/24 10.89.1.1, fd99::/64 fd99::1"),
            ("subnet=10.77.0.0/24 ipv6", "10.77.0.0/24 10.77.0.1, fd01:203:405:607::/64 fd01:203:405:607::1"),
            ("subnet=10.89.0.128/25", "ERR subnet 10.89.0.128/25 is already used on the host or by another config"),
            ("subnet=10.0.0.0/8", "ERR subnet 10.0.0.0/8 is already used on the host or by another config"),
            ("subnet=10.0.2.0/24", "ERR subnet 10.0.2.0/24 is already used on the host or by another config"),
            ("subnet=foo", "ERR invalid CIDR address: foo"),
            ("subnet=10.1.0.0/31", "ERR subnet 10.1.0.0/31 is too small: the prefix can be at most /30"),
            (
                "subnet=127.0.0.0/24",
                "ERR subnet 127.0.0.0/24 cannot be used: its addresses have a meaning of their own",
            ),
            ("subnet=0.0.0.0/0", "ERR subnet 0.0.0.0/0 cannot be used: its addresses have a meaning of their own"),
            ("subnet=fe80::/64", "ERR subnet fe80::/64 cannot be used: its addresses have a meaning of their own"),
            (
                "subnet=10.1.0.0/24 subnet=10.2.0.0/24",
                "ERR one IPv4 and one IPv6 subnet is all that a network can have here",
            ),
            ("gateway=1.2.3.4", "ERR cannot set gateway or range without subnet"),
            ("subnet=10.1.0.0/24 gateway=1.2.3.4", "ERR gateway 1.2.3.4 not in subnet 10.1.0.0/24"),
            (
                "subnet=10.1.0.0/24 gateway=10.1.0.255",
                "ERR gateway 10.1.0.255 is the network's own or its broadcast address",
            ),
            ("subnet=10.2.0.0/24 range=10.3.0.0/24", "ERR lease range start ip 10.3.0.1 not in subnet 10.2.0.0/24"),
            ("subnet=10.2.0.0/24 range=10.2.0.9-10.2.0.3", "ERR invalid --ip-range \"10.2.0.9-10.2.0.3\""),
            ("driver=foo", "ERR failed to find driver or plugin \"foo\""),
            (
                "driver=macvlan opt=parent=eth0",
                "ERR cannot create a macvlan network on eth0: a sub-interface of the host's needs root",
            ),
            ("driver=macvlan opt=mode=odd", "ERR unknown macvlan mode \"odd\""),
            (
                "driver=macvlan opt=parent=podman subnet=10.1.0.0/24",
                "ERR network n is to share the segment of network podman: 10.1.0.0/24 is not a subnet of that one",
            ),
            ("opt=parent=eth0", "ERR unsupported bridge network option parent"),
            ("name=podman", "ERR network name podman already used: network already exists"),
            (
                "name=host",
                "ERR cannot create network with name \"host\" because it conflicts with a valid network mode",
            ),
            ("opt=foo=bar", "ERR unsupported bridge network option foo"),
            ("opt=mtu=x", "ERR mtu: \"x\" is not a number from 68 to 65521"),
            ("opt=metric=0", "ERR metric: \"0\" is not a number from 1 to 4294967295"),
            (
                "opt=com.docker.network.bridge.enable_icc=false",
                "ERR com.docker.network.bridge.enable_icc=false is not supported here: containers of a network reach each other",
            ),
            ("opt=mtu=1000 ipv6", "ERR mtu: IPv6 needs at least 1280"),
            ("interface=podman0", "ERR bridge name podman0 already in use"),
            ("interface=a/b", "ERR \"a/b\" cannot be the name of an interface"),
            ("dns=x", "ERR unable to parse ip x"),
            (
                "nodns dns=1.1.1.1",
                "ERR cannot set NetworkDNSServers if DNS is not enabled for the network: invalid argument",
            ),
            (
                "route=10.9.0.0/16,10.77.0.2",
                "ERR invalid route \"10.9.0.0/16,10.77.0.2\": the gateway 10.77.0.2 is not in a subnet of this network",
            ),
        ] {
            assert_eq!(show(words), expected, "{words}");
        }
    }

    #[test]
    fn a_site_that_has_all_of_ten_leaves_others() {
        let all = Taken { subnets: vec!["10.0.0.0/8".parse().expect("parses")], ..Taken::default() };
        let network = define(&wanted(""), &all, [0; 7], Timestamp::UNIX_EPOCH).expect("defined");
        assert_eq!(network.subnets[0].subnet.to_string(), "172.16.0.0/24");
        let none = Taken { subnets: vec!["0.0.0.0/0".parse().expect("parses")], ..Taken::default() };
        assert!(define(&wanted(""), &none, [0; 7], Timestamp::UNIX_EPOCH).is_err());
    }

    #[test]
    fn names_and_routes() {
        let network = define(
            &Wanted {
                name: None,
                ..wanted("subnet=10.77.0.0/24 route=10.9.0.0/16,10.77.0.2,100 opt=com.docker.network.bridge.name=br9")
            },
            &taken(),
            [0; 7],
            Timestamp::UNIX_EPOCH,
        )
        .expect("defined");
        assert_eq!((network.name.as_str(), network.network_interface.as_str()), ("podman2", "br9"));
        assert_eq!(network.routes[0].metric, Some(100));
        assert!(network.options.is_empty());
    }
}
