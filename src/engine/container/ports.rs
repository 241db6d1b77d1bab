//! Published ports as listings show them: neighbours joined to ranges.

use std::fmt;

use serde::Serialize;

use super::record::Record;
use super::store::Container;
use crate::monitor::state::State;
use crate::network::ports::PortMapping;

/// One published port, or a range of them, in the form of `podman ps --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Range {
    pub host_ip: String,
    pub container_port: u16,
    pub host_port: u16,
    pub range: u16,
    pub protocol: String,
}

/// The ports as they are now: random ones were chosen when the container was started.
pub(crate) fn current<'a>(container: &'a Container, state: &'a State) -> &'a [PortMapping] {
    if state.ports.is_empty() { &container.record.ports } else { &state.ports }
}

/// Joins neighbours.
pub(crate) fn ranges(ports: &[PortMapping]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::with_capacity(ports.len());
    for port in ports {
        let host_ip = port.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let protocol = port.protocol.to_string();
        if let Some(last) = ranges.last_mut()
            && last.host_ip == host_ip
            && last.protocol == protocol
            && last.host_port.checked_add(last.range) == Some(port.host_port)
            && last.container_port.checked_add(last.range) == Some(port.container_port)
        {
            last.range += 1;
            continue;
        }
        let (container_port, host_port) = (port.container_port, port.host_port);
        ranges.push(Range { host_ip, container_port, host_port, range: 1, protocol });
    }
    ranges
}

/// `0.0.0.0:8000-8002->80-82/tcp`
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |first: u16| match self.range {
            0 | 1 => first.to_string(),
            range => format!("{first}-{}", first.saturating_add(range - 1)),
        };
        match self.host_ip.as_str() {
            "" => f.write_str("0.0.0.0")?,
            ip if ip.contains(':') => write!(f, "[{ip}]")?,
            ip => f.write_str(ip)?,
        }
        write!(f, ":{}->{}/{}", span(self.host_port), span(self.container_port), self.protocol)
    }
}

/// What `ps` shows: published ports, then those that are only exposed.
pub(crate) fn summary(record: &Record, ports: &[PortMapping]) -> String {
    let mut texts: Vec<String> = ranges(ports).iter().map(Range::to_string).collect();
    let published = |exposed: &str| ports.iter().any(|p| format!("{}/{}", p.container_port, p.protocol) == exposed);
    texts.extend(record.exposed.iter().filter(|exposed| !published(exposed)).cloned());
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ports::parse;

    #[test]
    fn neighbours_are_joined() {
        for (typed, shown) in [
            ("8000-8002:80-82", "0.0.0.0:8000-8002->80-82/tcp"),
            ("127.0.0.1:53:53/udp", "127.0.0.1:53->53/udp"),
            ("[::1]:8080:80", "[::1]:8080->80/tcp"),
        ] {
            let ranges = ranges(&parse(typed).expect("parses"));
            assert_eq!(ranges.iter().map(Range::to_string).collect::<Vec<_>>(), [shown]);
        }
    }
}
