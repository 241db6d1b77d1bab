//! Host names without NSS: a static binary has no getaddrinfo.
//!
//! `localhost` names are the loopback (RFC 6761), then /etc/hosts, then the name servers of /etc/resolv.conf. reqwest's own
//! use of hickory asks Google when resolv.conf cannot be read; names of internal registries do not belong there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

#[derive(Debug, Clone, Default)]
pub(super) struct Resolver(Arc<OnceLock<TokioResolver>>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let name = name.as_str().trim_end_matches('.').to_ascii_lowercase();
            let found = match local(&name) {
                Some(found) => found,
                None => this.ask(&name).await?,
            };
            // The port is filled in by the caller.
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

impl Resolver {
    async fn ask(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let resolver = match self.0.get() {
            Some(resolver) => resolver,
            None => {
                let made = system().map_err(|e| io::Error::other(format!("no name server is known: {e}")))?;
                self.0.get_or_init(|| made)
            }
        };
        let found = resolver.lookup_ip(name).await.map_err(|e| {
            let why = if e.is_no_records_found() { "there is no such host".to_owned() } else { e.to_string() };
            io::Error::new(io::ErrorKind::NotFound, format!("cannot resolve {name}: {why}"))
        })?;
        Ok(found.iter().collect())
    }
}

fn system() -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    builder.build()
}

fn local(name: &str) -> Option<Vec<IpAddr>> {
    if let Some(found) = std::fs::read_to_string("/etc/hosts").ok().and_then(|hosts| in_hosts(&hosts, name)) {
        return Some(found);
    }
    if name == "localhost" || name.ends_with(".localhost") {
        return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    None
}

fn in_hosts(hosts: &str, name: &str) -> Option<Vec<IpAddr>> {
    let found: Vec<IpAddr> = hosts
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_ascii_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
        })
        .collect();
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_file() {
        let hosts =
            "127.0.0.1 localhost\n# 10.0.0.1 no\n10.0.0.2\treg.example Reg # x\n::1 reg.example\nbad reg.example\n";
        let found = in_hosts(hosts, "reg.example").expect("found");
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.2", "::1"]);
        assert!(in_hosts(hosts, "reg").is_some() && in_hosts(hosts, "no").is_none());
        assert!(local("a.localhost").is_some());
    }
}
