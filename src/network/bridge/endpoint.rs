//! A container's place on a network, as asked for: `NAME[:ip=…,ip6=…,mac=…,alias=…,interface_name=…]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::define::check_interface;
use super::driver::Driver;
use super::object::{DEFAULT, DEFAULT_ALIAS, Network};
use crate::error::{Error, Result};
use crate::sys::netlink::Mac;

/// Where a container is on one network; what is `None` the netkeeper chooses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub network: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

impl Endpoint {
    /// The network `name` without wishes.
    pub(crate) fn on(name: &str) -> Self {
        let network = if name == DEFAULT_ALIAS { DEFAULT } else { name };
        Self { network: network.to_owned(), ..Self::default() }
    }

    /// The endpoint with the options behind the network's name.
    pub(crate) fn parse(name: &str, options: &str) -> Result<Self> {
        let mut endpoint = Self::on(name);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "ip" => endpoint.set_ip(value)?,
                "ip6" => endpoint.set_ip6(value)?,
                "mac" => endpoint.mac = Some(mac(value)?),
                "alias" => endpoint.aliases.push(alias(value)?),
                "interface_name" => {
                    check_interface(value)?;
                    endpoint.interface = Some(value.to_owned());
                }
                _ => {
                    return Err(Error::new(format!("unknown option {option:?} of network {name}"))
                        .hint("The options are ip, ip6, mac, alias and interface_name"));
                }
            }
        }
        Ok(endpoint)
    }

    /// `--ip`, of either version in the network option.
    pub(crate) fn set_ip(&mut self, value: &str) -> Result<()> {
        match value.parse() {
            Ok(IpAddr::V4(ip)) => self.ip = Some(ip),
            Ok(IpAddr::V6(ip)) => self.ip6 = Some(ip),
            Err(_) => return Err(Error::new(format!("invalid ip address {value:?}"))),
        }
        Ok(())
    }

    /// `--ip6`.
    pub(crate) fn set_ip6(&mut self, value: &str) -> Result<()> {
        self.ip6 = Some(value.parse().map_err(|_| Error::new(format!("invalid IPv6 address {value:?}")))?);
        Ok(())
    }

    /// Refuses addresses that the network does not have.
    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        if self.mac.is_some() && network.driver == Driver::Ipvlan.as_str() {
            return Err(Error::new(format!(
                "network {} is an ipvlan: all of its containers have one MAC address",
                network.name
            )));
        }
        for ip in self.ip.map(IpAddr::V4).into_iter().chain(self.ip6.map(IpAddr::V6)) {
            let range = network.range(ip.is_ipv6());
            let inside = range.is_some_and(|range| {
                let last = range.subnet.last();
                range.subnet.contains(ip) && ip != range.subnet.address && (ip.is_ipv6() || ip != last)
            });
            if !inside {
                return Err(Error::new(format!(
                    "requested static ip {ip} not in any subnet on network {}",
                    network.name
                )));
            }
            if range.is_some_and(|range| range.gateway == Some(ip)) {
                return Err(Error::new(format!("requested static ip {ip} is the gateway of network {}", network.name)));
            }
        }
        Ok(())
    }
}

/// Six pairs of hexadecimal digits; neither a group's address nor nobody's.
pub(crate) fn mac(text: &str) -> Result<Mac> {
    let invalid = || Error::new(format!("invalid MAC address {text:?}")).hint("write 02:42:0a:59:00:05");
    let mut mac = Mac::default();
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
        *byte = u8::from_str_radix(part.ok_or_else(invalid)?, 16).map_err(|_| invalid())?;
    }
    if parts.next().is_some() || mac[0] & 1 == 1 || mac == Mac::default() {
        return Err(invalid());
    }
    Ok(mac)
}

/// `02:42:…`
pub(crate) fn show_mac(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// A name that DNS can carry: labels of at most 63 of the characters that host names and service names are made of.
pub(crate) fn alias(text: &str) -> Result<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if text.len() > 253 || !text.split('.').all(label) {
        return Err(Error::new(format!("{text:?} cannot be an alias on a network"))
            .hint("letters, digits, -, _ and single dots; at most 63 characters between dots, 253 in all"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let endpoint =
            Endpoint::parse("n", "ip=10.1.0.5,ip=fd00::5,mac=02:42:0a:59:00:05,alias=a,alias=b.c,interface_name=web0");
        let endpoint = endpoint.expect("parses");
        assert_eq!((endpoint.ip, endpoint.ip6), (Some(Ipv4Addr::new(10, 1, 0, 5)), "fd00::5".parse().ok()));
        assert_eq!(endpoint.mac.map(show_mac).as_deref(), Some("02:42:0a:59:00:05"));
        assert_eq!(
            (endpoint.aliases, endpoint.interface.as_deref()),
            (vec!["a".to_owned(), "b.c".to_owned()], Some("web0"))
        );
        assert_eq!(Endpoint::on("bridge").network, "podman");
        for bad in [
            "ip=x",
            "ip6=10.0.0.1",
            "mac=01:00:00:00:00:00",
            "mac=1",
            "mac=00:00:00:00:00:00",
            "mac=02:42:0a:59:00:05:06",
            "alias=",
            "alias=a b",
            "alias=a..b",
            "alias=ä",
            "alias=a/b",
            "interface_name=a/b",
            "interface_name=0123456789abcdef",
            "foo=1",
            "alias=-\n",
        ] {
            assert!(Endpoint::parse("n", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_must_be_the_networks() {
        let network = Network::standard(jiff::Timestamp::UNIX_EPOCH);
        for (options, fine) in [
            ("ip=10.88.7.7", true),
            ("ip=10.89.7.7", false),
            ("ip=10.88.0.1", false),
            ("ip=10.88.0.0", false),
            ("ip=10.88.255.255", false),
            ("ip6=fd00::5", false),
        ] {
            let endpoint = Endpoint::parse("podman", options).expect("parses");
            assert_eq!(endpoint.check(&network).is_ok(), fine, "{options}");
        }
    }
}
