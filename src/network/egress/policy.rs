//! `--egress allow=DESTINATION[:PORT],…` → rules. A policy without rules allows nothing.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::network::subnet::Subnet;

/// What is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Policy(pub Vec<Rule>);

/// One destination. With a port: TCP and UDP to it; without: everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub to: Destination,
    pub port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Net(Subnet),
    /// In lower case.
    Name(String),
    /// Every name below this one, not itself.
    Below(String),
}

/// The most rules of one policy: each is looked at for every new connection.
const MOST: usize = 256;

impl Policy {
    /// All values of the flag.
    pub(crate) fn parse(values: &[String]) -> Result<Option<Self>> {
        if values.is_empty() {
            return Ok(None);
        }
        let mut rules: Vec<Rule> = Vec::new();
        for value in values {
            let list = value.strip_prefix("allow=").ok_or_else(|| {
                Error::new(format!("invalid --egress {value:?}"))
                    .hint("write allow=DOMAIN|CIDR[:PORT],…; allow= alone allows nothing")
            })?;
            for text in list.split(',').filter(|text| !text.is_empty()) {
                let rule =
                    text.parse().map_err(|why: String| Error::new(format!("invalid --egress {text:?}: {why}")))?;
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
        if rules.len() > MOST {
            return Err(Error::new(format!("--egress has {} destinations; {MOST} are the most", rules.len())));
        }
        Ok(Some(Self(rules)))
    }

    /// The ports to which a name's addresses are allowed; `None` when the name is not. `name` is in lower case, without a final dot.
    pub(crate) fn ports(&self, name: &str) -> Option<Vec<Option<u16>>> {
        let matches = |rule: &&Rule| match &rule.to {
            Destination::Net(_) => false,
            Destination::Name(own) => own == name,
            Destination::Below(above) => name.strip_suffix(above.as_str()).is_some_and(|rest| rest.ends_with('.')),
        };
        let ports: Vec<Option<u16>> = self.0.iter().filter(matches).map(|rule| rule.port).collect();
        if ports.is_empty() { None } else { Some(ports) }
    }
}

/// Whether an answer of name service may open the way to an address.
pub(crate) fn may_be_pinned(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            !(ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_unspecified() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified()),
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = "write a domain, *.DOMAIN, an address or a CIDR, with :PORT behind it; [IPv6]:PORT";
        let port = |text: &str| text.parse::<u16>().ok().filter(|p| *p > 0).ok_or(format!("{text:?} is not a port"));
        let (to, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inside, "")) => (inside, None),
            Some((inside, rest)) => (inside, Some(port(rest.strip_prefix(':').ok_or(bad)?)?)),
            // IPv6 without a port.
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((to, number)) => (to, Some(port(number)?)),
                None => (text, None),
            },
        };
        if let Ok(ip) = to.parse::<IpAddr>() {
            let subnet = Subnet::of(ip, if ip.is_ipv6() { 128 } else { 32 }).ok_or(bad)?;
            return Ok(Self { to: Destination::Net(subnet), port });
        }
        if to.contains('/') {
            return Ok(Self { to: Destination::Net(to.parse()?), port });
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let (name, below) = match to.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (to, false),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if name.len() > 253 || numeric || !name.split('.').all(label) {
            return Err(bad.to_owned());
        }
        let name = name.to_ascii_lowercase();
        Ok(Self { to: if below { Destination::Below(name) } else { Destination::Name(name) }, port })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        match &self.to {
            Destination::Net(net) if net.is_ipv6() && self.port.is_some() => write!(f, "[{net}]{colon}"),
            Destination::Net(net) => write!(f, "{net}{colon}"),
            Destination::Name(name) => write!(f, "{name}{colon}"),
            Destination::Below(name) => write!(f, "*.{name}{colon}"),
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        for (text, expected) in [
            ("example.org", "example.org"),
            ("Example.ORG.:443", "example.org:443"),
            ("*.example.org:443", "*.example.org:443"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3/8:53", "10.0.0.0/8:53"),
            ("fd00::/8", "fd00::/8"),
            ("[fd00::1]:443", "[fd00::1/128]:443"),
            ("[fd00::/8]", "fd00::/8"),
            ("0.0.0.0/0:443", "0.0.0.0/0:443"),
            ("localhost", "localhost"),
            ("example.org:0", "ERR"),
            ("example.org:https", "ERR"),
            ("*", "ERR"),
            ("a.*.org", "ERR"),
            ("10.1.2", "ERR"),
            ("10.0.0.0/33", "ERR"),
            ("a b", "ERR"),
            ("http://example.org", "ERR"),
            ("[fd00::1]443", "ERR"),
        ] {
            let shown = text.parse::<Rule>().map_or("ERR".to_owned(), |rule| rule.to_string());
            assert_eq!(shown, expected, "{text}");
            if shown != "ERR" {
                assert_eq!(shown.parse::<Rule>().map(|rule| rule.to_string()), Ok(shown.clone()));
            }
        }
        let parse = |values: &[&str]| Policy::parse(&values.iter().map(|&v| v.to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&[]).ok(), Some(None));
        assert_eq!(parse(&["allow="]).ok(), Some(Some(Policy::default())));
        assert!(parse(&["deny=x"]).is_err() && parse(&["allow=a b"]).is_err());
        let json = serde_json::to_string(&parse(&["allow=a.org:1,10.0.0.0/8", "allow=*.b.org"]).expect("parses"));
        assert_eq!(json.expect("encodes"), r#"["a.org:1","10.0.0.0/8","*.b.org"]"#);
    }

    #[test]
    fn names_and_addresses() {
        let policy =
            Policy::parse(&["allow=a.org:443,a.org:80,*.b.org,10.0.0.0/8".to_owned()]).expect("parses").expect("one");
        for (name, ports) in [
            ("a.org", Some(vec![Some(443), Some(80)])),
            ("x.a.org", None),
            ("b.org", None),
            ("x.b.org", Some(vec![None])),
            ("y.x.b.org", Some(vec![None])),
            ("xb.org", None),
            ("10.0.0.1", None),
        ] {
            assert_eq!(policy.ports(name), ports, "{name}");
        }
        for (ip, may) in [
            ("93.184.216.34", true),
            ("10.0.0.1", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("::1", false),
            ("fe80::1", false),
            ("::ffff:127.0.0.1", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(may_be_pinned(ip.parse().expect("an address")), may, "{ip}");
        }
    }
}
