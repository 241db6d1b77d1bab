//! Published ports as typed: `[[HOST-IP:][HOST-PORT]:]CONTAINER-PORT[/PROTOCOL]`, ranges expanded.
//!
//! The grammar and the refusals are Podman's. An IPv6 host address stands in brackets. Without a host port (or with 0)
//! a free one is taken when the forwarder listens.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortMapping {
    /// `None`: every address of the host, IPv4 and IPv6.
    pub host_ip: Option<IpAddr>,
    /// 0: any free port; filled in once listening.
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
}

/// The host side as `ps` and `port` show it: `0.0.0.0:8080`.
impl PortMapping {
    pub(crate) fn host(&self) -> String {
        match self.host_ip {
            None => format!("0.0.0.0:{}", self.host_port),
            Some(IpAddr::V4(ip)) => format!("{ip}:{}", self.host_port),
            Some(IpAddr::V6(ip)) => format!("[{ip}]:{}", self.host_port),
        }
    }
}

/// The mappings of one `-p` value.
pub(crate) fn parse(value: &str) -> Result<Vec<PortMapping>> {
    parse_parts(value).map_err(|why| {
        Error::wrap(format!("invalid published port {value:?}"), why)
            .hint("Write [[IP:][HOST-PORT]:]CONTAINER-PORT[/tcp|/udp], for example 8080:80, 127.0.0.1:53:53/udp or [::1]:8000-8009:8000-8009")
    })
}

/// The mappings of all `-p` values; the same host port twice is a conflict.
pub(crate) fn parse_all<S: AsRef<str>>(values: &[S]) -> Result<Vec<PortMapping>> {
    let mut all = Vec::new();
    for value in values {
        all.extend(parse(value.as_ref())?);
    }
    // The same mapping typed twice is harmless; one host port for two container ports is not.
    let mut seen = std::collections::HashMap::with_capacity(all.len());
    let mut unique = Vec::with_capacity(all.len());
    for mapping in all {
        if mapping.host_port != 0 {
            let key = (mapping.host_ip, mapping.host_port, mapping.protocol);
            match seen.insert(key, mapping.container_port) {
                Some(before) if before == mapping.container_port => continue,
                Some(before) => {
                    return Err(Error::new(format!(
                        "host port {} ({}) is published twice, for container ports {before} and {}",
                        mapping.host_port, mapping.protocol, mapping.container_port
                    ))
                    .with_kind(Kind::Conflict));
                }
                None => {}
            }
        }
        unique.push(mapping);
    }
    Ok(unique)
}

/// `-P`: every port that the image (`80/tcp`, as in `ExposedPorts`) or `--expose` names gets a free host port,
/// unless `-p` published it already.
pub(crate) fn publish_all<S: AsRef<str>>(exposed: &[S], published: &[PortMapping]) -> Result<Vec<PortMapping>> {
    let mut new: Vec<PortMapping> = Vec::new();
    for value in exposed {
        for (container_port, protocol) in parse_exposed(value.as_ref())? {
            let taken = |m: &PortMapping| m.container_port == container_port && m.protocol == protocol;
            if !published.iter().any(taken) && !new.iter().any(taken) {
                new.push(PortMapping { host_ip: None, host_port: 0, container_port, protocol });
            }
        }
    }
    Ok(new)
}

/// `80`, `80/udp`, `8000-8010/tcp`: an image's EXPOSE or `--expose`.
pub(crate) fn parse_exposed(value: &str) -> Result<Vec<(u16, Protocol)>> {
    let parsed = split_protocol(value).and_then(|(ports, protocols)| Ok((range(ports, "container")?, protocols)));
    let ((first, last), protocols) = parsed.map_err(|why| {
        Error::wrap(format!("invalid exposed port {value:?}"), why).hint("Write PORT[-PORT][/tcp|/udp]")
    })?;
    if first == 0 {
        return Err(Error::new(format!("invalid exposed port {value:?}: ports are 1 to 65535")));
    }
    Ok(protocols.iter().flat_map(|&protocol| (first..=last).map(move |port| (port, protocol))).collect())
}

fn parse_parts(value: &str) -> Result<Vec<PortMapping>, String> {
    let (spec, protocols) = split_protocol(value)?;
    let (host_ip, ports) = split_address(spec)?;
    let (host, container) = match ports.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, ports),
    };
    let (first, last) = range(container, "container")?;
    if first == 0 {
        return Err("the container port cannot be 0".into());
    }
    let host_first = match host.filter(|h| !h.is_empty()) {
        None => 0,
        Some(host) => {
            let (host_first, host_last) = range(host, "host")?;
            if host_first == 0 && host_last != 0 {
                return Err("a range of host ports cannot begin at 0".into());
            }
            if host_first != 0 && host_last - host_first != last - first {
                return Err(format!(
                    "{} host ports for {} container ports: the ranges must have the same length",
                    u32::from(host_last - host_first) + 1,
                    u32::from(last - first) + 1
                ));
            }
            host_first
        }
    };
    let mut mappings = Vec::new();
    for &protocol in &protocols {
        for container_port in first..=last {
            let host_port = if host_first == 0 { 0 } else { host_first + (container_port - first) };
            mappings.push(PortMapping { host_ip, host_port, container_port, protocol });
        }
    }
    Ok(mappings)
}

/// `…/tcp`, `…/udp`, also `…/tcp,udp`; TCP when nothing is said.
fn split_protocol(value: &str) -> Result<(&str, Vec<Protocol>), String> {
    let Some((spec, names)) = value.split_once('/') else { return Ok((value, vec![Protocol::Tcp])) };
    let mut protocols = Vec::new();
    for name in names.split(',') {
        let protocol = match name.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => return Err("SCTP cannot be published without root: the protocols are tcp and udp".into()),
            _ => return Err(format!("unknown protocol {name:?}: the protocols are tcp and udp")),
        };
        if !protocols.contains(&protocol) {
            protocols.push(protocol);
        }
    }
    Ok((spec, protocols))
}

/// Takes a host address off the front: `[v6]:…` or `a.b.c.d:…` (three fields).
fn split_address(spec: &str) -> Result<(Option<IpAddr>, &str), String> {
    if let Some(rest) = spec.strip_prefix('[') {
        let (address, ports) = rest.split_once("]:").ok_or("an IPv6 address is written [ADDRESS]:PORTS")?;
        let ip = address.parse::<IpAddr>().map_err(|_| format!("{address:?} is no IP address"))?;
        return Ok((Some(ip), ports));
    }
    match spec.bytes().filter(|&b| b == b':').count() {
        0 | 1 => Ok((None, spec)),
        2 => {
            let (address, ports) = spec.split_once(':').unwrap_or((spec, ""));
            if address.is_empty() {
                return Err("the host address before the first colon is missing".into());
            }
            let ip = address.parse::<IpAddr>().map_err(|_| format!("{address:?} is no IP address"))?;
            Ok((Some(ip), ports))
        }
        _ => Err("too many colons (an IPv6 address is written in brackets)".into()),
    }
}

fn range(text: &str, side: &str) -> Result<(u16, u16), String> {
    let port = |text: &str| {
        // u16::from_str takes a leading plus sign.
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten().ok_or_else(|| {
            if text.is_empty() {
                format!("the {side} port is missing")
            } else {
                format!("{text:?} is no port (1 to 65535)")
            }
        })
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        return Err(format!("the range {text} goes backwards"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-p` value → `ip|port|port|proto …`, or the start of the refusal.
    fn show(value: &str) -> String {
        match parse(value) {
            Err(e) => format!("ERR {}", e.to_string().rsplit("\": ").next().unwrap_or_default()),
            Ok(all) => all
                .iter()
                .map(|m| {
                    let ip = m.host_ip.map_or("*".to_owned(), |ip| ip.to_string());
                    format!("{ip} {}>{}/{}", m.host_port, m.container_port, m.protocol)
                })
                .collect::<Vec<_>>()
                .join(", "),
        }
    }

    #[test]
    fn published_ports() {
        for (value, expected) in [
            ("80", "* 0>80/tcp"),
            (":80", "* 0>80/tcp"),
            ("0:80", "* 0>80/tcp"),
            ("8080:80", "* 8080>80/tcp"),
            ("8080:80/udp", "* 8080>80/udp"),
            ("8080:80/TCP", "* 8080>80/tcp"),
            ("53:53/tcp,udp", "* 53>53/tcp, * 53>53/udp"),
            ("127.0.0.1:8080:80", "127.0.0.1 8080>80/tcp"),
            ("127.0.0.1::80", "127.0.0.1 0>80/tcp"),
            ("[::1]:8080:80", "::1 8080>80/tcp"),
            ("[::]::80/udp", ":: 0>80/udp"),
            ("8000-8002:80-82", "* 8000>80/tcp, * 8001>81/tcp, * 8002>82/tcp"),
            ("80-81", "* 0>80/tcp, * 0>81/tcp"),
            ("65535:65535", "* 65535>65535/tcp"),
            ("8000-8002:80", "ERR 3 host ports for 1 container ports: the ranges must have the same length"),
            ("8000:80-81", "ERR 1 host ports for 2 container ports: the ranges must have the same length"),
            ("0-65535:1-65535", "ERR a range of host ports cannot begin at 0"),
            ("", "ERR the container port is missing"),
            ("8080:", "ERR the container port is missing"),
            ("8080:0", "ERR the container port cannot be 0"),
            ("65536:80", "ERR \"65536\" is no port (1 to 65535)"),
            ("+80:80", "ERR \"+80\" is no port (1 to 65535)"),
            ("-1:80", "ERR the host port is missing"),
            ("82-80:82-80", "ERR the range 82-80 goes backwards"),
            ("a:80", "ERR \"a\" is no port (1 to 65535)"),
            ("80/sctp", "ERR SCTP cannot be published without root: the protocols are tcp and udp"),
            ("80/icmp", "ERR unknown protocol \"icmp\": the protocols are tcp and udp"),
            ("80/", "ERR unknown protocol \"\": the protocols are tcp and udp"),
            ("localhost:80:80", "ERR \"localhost\" is no IP address"),
            (":80:80", "ERR the host address before the first colon is missing"),
            ("::1:80:80", "ERR too many colons (an IPv6 address is written in brackets)"),
            ("[::1]", "ERR an IPv6 address is written [ADDRESS]:PORTS"),
            ("[::1:80", "ERR an IPv6 address is written [ADDRESS]:PORTS"),
        ] {
            assert_eq!(show(value), expected, "-p {value}");
        }
        assert_eq!(parse("1-65535:1-65535").map(|all| all.len()).ok(), Some(65535));
    }

    #[test]
    fn one_host_port_for_two_containers_ports_is_a_conflict() {
        assert!(parse_all(&["8080:80", "8080:81"]).is_err());
        assert_eq!(parse_all(&["8080:80", "8080:80", "8080:80/udp", "80", "81"]).map(|all| all.len()).ok(), Some(4));
    }

    #[test]
    fn exposed_ports_are_published_once() {
        let published = parse("8080:80").unwrap_or_default();
        let new = publish_all(&["80/tcp", "443", "443/tcp", "53/udp", "9000-9001"], &published).unwrap_or_default();
        let shown: Vec<_> = new.iter().map(|m| format!("{}/{}", m.container_port, m.protocol)).collect();
        assert_eq!(shown, ["443/tcp", "53/udp", "9000/tcp", "9001/tcp"]);
        assert!(publish_all(&["0/tcp"], &[]).is_err());
    }
}
