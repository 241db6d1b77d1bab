//! Who has which address on a network: handed out in turn, so that one that was given back rests before it is given again.
//! Pure; the netkeeper is the only one to decide, and hears of every end.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::error::{Error, Kind, Result};
use crate::network::bridge::object::Range;
use crate::network::subnet;

/// The addresses of one subnet.
#[derive(Debug, Default)]
pub(super) struct Leases {
    used: HashSet<IpAddr>,
    /// The one given last.
    last: Option<IpAddr>,
}

impl Leases {
    /// A free address of `range` that is not in `held`.
    pub(super) fn next(&mut self, range: &Range, held: &HashSet<IpAddr>, network: &str) -> Result<IpAddr> {
        let full = || {
            Error::new(format!("network {network} is full: every address of {} is in use", range.subnet))
                .with_kind(Kind::Conflict)
        };
        let (first, end) = range.leases().ok_or_else(full)?;
        let count = subnet::distance(first, end) + 1;
        let start = match self.last {
            Some(last) if last >= first && last < end => subnet::after(last, 1).unwrap_or(first),
            _ => first,
        };
        let mut candidate = start;
        // Among this many there is a free one, or none at all.
        let tries = count.min(self.used.len() as u128 + held.len() as u128 + 4);
        for _ in 0..tries {
            let unusable = Some(candidate) == range.gateway
                || candidate == range.subnet.address
                || (!candidate.is_ipv6() && candidate == range.subnet.last());
            if !unusable && !held.contains(&candidate) && self.used.insert(candidate) {
                self.last = Some(candidate);
                return Ok(candidate);
            }
            candidate = if candidate >= end { first } else { subnet::after(candidate, 1).unwrap_or(first) };
        }
        Err(full())
    }

    /// The first address to be given is not the range's first, but one that `number` tells.
    pub(super) fn begin_within(&mut self, range: &Range, number: u64) {
        if let (None, Some((first, end))) = (self.last, range.leases()) {
            self.last = subnet::after(
                first,
                u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) % (subnet::distance(first, end) + 1),
            );
        }
    }

    /// The address asked for.
    pub(super) fn take(&mut self, ip: IpAddr, network: &str) -> Result<()> {
        if self.used.insert(ip) {
            return Ok(());
        }
        Err(Error::new(format!("requested ip address {ip} is already allocated on network {network}"))
            .with_kind(Kind::Conflict))
    }

    pub(super) fn give_back(&mut self, ip: IpAddr) {
        self.used.remove(&ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(subnet: &str) -> Range {
        let subnet: subnet::Subnet = subnet.parse().expect("parses");
        Range { subnet, gateway: subnet.first_host(), lease_range: None }
    }

    #[test]
    fn addresses_go_round() {
        let (range, none) = (range("10.1.0.0/29"), HashSet::new());
        let mut leases = Leases::default();
        let next = |leases: &mut Leases| leases.next(&range, &none, "n").map(|ip| ip.to_string()).ok();
        let given: Vec<_> = (0..5).filter_map(|_| next(&mut leases)).collect();
        assert_eq!(given, ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"]);
        assert_eq!(next(&mut leases), None);
        leases.give_back("10.1.0.3".parse().expect("parses"));
        leases.give_back("10.1.0.5".parse().expect("parses"));
        assert_eq!(next(&mut leases).as_deref(), Some("10.1.0.3"));
        assert_eq!(next(&mut leases).as_deref(), Some("10.1.0.5"));
        assert!(leases.take("10.1.0.5".parse().expect("parses"), "n").is_err());
    }

    #[test]
    fn held_addresses_and_huge_networks() {
        let mut leases = Leases::default();
        let held = HashSet::from(["fd99::2".parse().expect("parses")]);
        let ip = leases.next(&range("fd99::/64"), &held, "n").map(|ip| ip.to_string());
        assert_eq!(ip.ok().as_deref(), Some("fd99::3"));
        let lease = crate::network::bridge::object::Lease {
            start_ip: "10.1.0.100".parse().expect("parses"),
            end_ip: "10.1.0.101".parse().expect("parses"),
        };
        let some = Range { lease_range: Some(lease), ..range("10.1.0.0/24") };
        let mut leases = Leases::default();
        let mut next = || leases.next(&some, &HashSet::new(), "n").map(|ip| ip.to_string()).ok();
        assert_eq!([next(), next(), next()], [Some("10.1.0.100".into()), Some("10.1.0.101".into()), None]);
    }
}
