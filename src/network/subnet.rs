//! IP networks in CIDR notation, IPv4 and IPv6 alike. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A network: the bits of `address` behind the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Subnet {
    pub address: IpAddr,
    pub prefix: u8,
}

/// An address's bits, at the low end.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn from_bits(bits: u128, ipv6: bool) -> IpAddr {
    if ipv6 { Ipv6Addr::from(bits).into() } else { Ipv4Addr::from((bits & 0xffff_ffff) as u32).into() }
}

/// The address `count` after this one, within its protocol version.
pub(crate) fn after(ip: IpAddr, count: u128) -> Option<IpAddr> {
    let most = if ip.is_ipv6() { u128::MAX } else { u128::from(u32::MAX) };
    bits(ip).checked_add(count).filter(|next| *next <= most).map(|next| from_bits(next, ip.is_ipv6()))
}

/// How many addresses lie between two of the same version.
pub(crate) fn distance(from: IpAddr, to: IpAddr) -> u128 {
    bits(to).saturating_sub(bits(from))
}

impl Subnet {
    /// The network that `ip` lies in; `None` for a prefix that is too long.
    pub(crate) fn of(ip: IpAddr, prefix: u8) -> Option<Self> {
        let width = if ip.is_ipv6() { 128 } else { 32 };
        if prefix > width {
            return None;
        }
        let host = u128::MAX.checked_shl(u32::from(width - prefix)).map_or(u128::MAX, |mask| !mask);
        Some(Self { address: from_bits(bits(ip) & !host, ip.is_ipv6()), prefix })
    }

    pub(crate) fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }

    fn width(&self) -> u8 {
        if self.is_ipv6() { 128 } else { 32 }
    }

    /// The last address; IPv4's broadcast address.
    pub(crate) fn last(&self) -> IpAddr {
        let host = u128::MAX.checked_shl(u32::from(self.width() - self.prefix)).map_or(u128::MAX, |mask| !mask);
        from_bits(bits(self.address) | host, self.is_ipv6())
    }

    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv6() == self.is_ipv6()
            && Self::of(ip, self.prefix).is_some_and(|network| network.address == self.address)
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The first address that a host can have.
    pub(crate) fn first_host(&self) -> Option<IpAddr> {
        after(self.address, 1).filter(|ip| self.contains(*ip))
    }

    /// The last address that a host can have: IPv4 keeps the very last for broadcasts.
    pub(crate) fn last_host(&self) -> IpAddr {
        let last = bits(self.last());
        from_bits(if self.is_ipv6() { last } else { last.saturating_sub(1) }, self.is_ipv6())
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    /// Bits behind the prefix are cut off, as Podman does.
    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid CIDR address: {text}");
        let (ip, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = if digits { prefix.parse().ok() } else { None };
        Self::of(ip.parse().map_err(|_| invalid())?, prefix.ok_or_else(invalid)?).ok_or_else(invalid)
    }
}

impl Serialize for Subnet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn notation() {
        for (text, shown) in [
            ("10.89.0.0/24", "10.89.0.0/24"),
            ("10.1.0.5/24", "10.1.0.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00:1::5/64", "fd00:1::/64"),
            ("::/0", "::/0"),
            ("1.2.3.4/32", "1.2.3.4/32"),
        ] {
            assert_eq!(subnet(text).to_string(), shown, "{text}");
        }
        for bad in ["", "foo", "10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/+8", "10.0.0/8", "10.0.0.0/", "/8"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ranges() {
        let net = subnet("10.89.0.0/30");
        assert_eq!(net.first_host().map(|ip| ip.to_string()).as_deref(), Some("10.89.0.1"));
        assert_eq!((net.last_host().to_string(), net.last().to_string()), ("10.89.0.2".into(), "10.89.0.3".into()));
        assert_eq!(subnet("1.2.3.4/32").first_host(), None);
        assert_eq!(subnet("fd00::/64").last_host().to_string(), "fd00::ffff:ffff:ffff:ffff");
        assert!(after(subnet("255.255.255.255/32").address, 1).is_none());
        for (a, b, overlap) in [
            ("10.0.0.0/8", "10.89.0.0/24", true),
            ("10.89.0.0/24", "10.0.0.0/8", true),
            ("10.89.0.0/24", "10.89.1.0/24", false),
            ("0.0.0.0/0", "fd00::/64", false),
            ("fd00::/64", "fd00::1/128", true),
        ] {
            assert_eq!(subnet(a).overlaps(&subnet(b)), overlap, "{a} {b}");
        }
    }
}
