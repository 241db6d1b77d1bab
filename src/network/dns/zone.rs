//! Who is called what, as each container may know it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use crate::network::egress::policy::Policy;

/// The domain that containers are in, as Podman calls it.
pub(crate) const DOMAIN: &str = "dns.podman";

/// Names that stand for the host.
const HOST: [&str; 2] = ["host.containers.internal", "host.docker.internal"];

/// One container, seen by name service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    /// Networks with their names and this container's addresses there.
    pub places: Vec<Place>,
    /// Names that only this container knows, with their addresses.
    pub links: Vec<(String, Vec<IpAddr>)>,
    /// What it asks instead of its networks' servers.
    pub servers: Vec<IpAddr>,
    /// Its own egress policy, with the key that it is enforced by.
    pub egress: Option<Keyed>,
}

/// An egress policy and its key.
pub(crate) type Keyed = Rc<(String, Policy)>;

/// A container on one network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pub network: String,
    pub addresses: Vec<IpAddr>,
    /// Its names there, in lower case.
    pub names: Vec<String>,
    /// Names are resolved on this network.
    pub enabled: bool,
    /// No way out, for questions neither.
    pub internal: bool,
    /// What the network asks instead of the host's resolvers.
    pub servers: Vec<IpAddr>,
    /// On another host, whose name service it asks.
    pub remote: bool,
    /// The network's egress policy.
    pub egress: Option<Keyed>,
}

/// All that is known.
#[derive(Debug, Default)]
pub(crate) struct Zone {
    /// By network, then by name.
    names: HashMap<String, HashMap<String, Vec<IpAddr>>>,
    /// By network and address.
    reverse: HashMap<(String, IpAddr), Vec<String>>,
    clients: HashMap<IpAddr, Client>,
    /// Addresses of the host.
    host: Vec<IpAddr>,
}

#[derive(Debug, Clone, Default)]
struct Client {
    networks: Vec<String>,
    links: HashMap<String, Vec<IpAddr>>,
    servers: Vec<IpAddr>,
    /// It is on a network with a way out.
    outside: bool,
    egress: Option<Keyed>,
    /// Of the networks with a way out.
    networks_egress: Vec<Option<Keyed>>,
}

/// What a policy allows of an answer to a question that it lets pass: to these ports.
pub(crate) type Opening = (Keyed, Vec<Option<u16>>);

/// What a name means to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// These addresses, of both versions.
    Addresses(Vec<IpAddr>),
    Unknown,
    /// Not here: ask these servers, or the host's when there are none.
    Elsewhere(Vec<IpAddr>),
    /// The client is nobody's.
    Stranger,
}

impl Zone {
    pub(crate) fn new(entries: &[Entry], host: Vec<IpAddr>) -> Self {
        let mut zone = Self { host, ..Self::default() };
        for entry in entries {
            let (egress, servers) = (entry.egress.clone(), entry.servers.clone());
            let mut client = Client { egress, servers, ..Client::default() };
            for place in &entry.places {
                client.outside |= !place.internal;
                if !place.internal {
                    client.networks_egress.push(place.egress.clone());
                }
                for server in place.servers.iter().filter(|_| entry.servers.is_empty()) {
                    if !client.servers.contains(server) {
                        client.servers.push(*server);
                    }
                }
                if !place.enabled {
                    continue;
                }
                client.networks.push(place.network.clone());
                let names = zone.names.entry(place.network.clone()).or_default();
                for name in &place.names {
                    names.entry(name.clone()).or_default().extend(&place.addresses);
                }
                for ip in &place.addresses {
                    // A whole id (longer than a label can be) is nobody's idea of a name.
                    let names = place.names.iter().filter(|name| name.len() < 64).cloned();
                    zone.reverse.insert((place.network.clone(), *ip), names.collect());
                }
            }
            client.links = entry.links.iter().map(|(name, ips)| (name.to_ascii_lowercase(), ips.clone())).collect();
            // The same client, whatever network it asks through.
            for ip in entry.places.iter().filter(|place| !place.remote).flat_map(|place| &place.addresses) {
                zone.clients.insert(*ip, client.clone());
            }
        }
        zone
    }

    /// `name` is in lower case, without a final dot.
    pub(crate) fn look_up(&self, client: IpAddr, name: &str) -> Meaning {
        let Some(client) = self.clients.get(&client) else { return Meaning::Stranger };
        if HOST.contains(&name) {
            return Meaning::Addresses(self.host.clone());
        }
        let short = name.strip_suffix(DOMAIN).and_then(|rest| rest.strip_suffix('.'));
        for name in [Some(name), short].into_iter().flatten() {
            let mut found: Vec<IpAddr> = client.links.get(name).cloned().unwrap_or_default();
            for network in &client.networks {
                found.extend(self.names.get(network).and_then(|names| names.get(name)).into_iter().flatten());
            }
            if !found.is_empty() {
                found.sort_unstable();
                found.dedup();
                return Meaning::Addresses(found);
            }
        }
        if short.is_some() || name == DOMAIN { Meaning::Unknown } else { client.elsewhere() }
    }

    /// What egress policies say of a question about this name: refused, or what its answer opens.
    pub(crate) fn gate(&self, client: IpAddr, name: &str) -> Option<Vec<Opening>> {
        let Some(client) = self.clients.get(&client) else { return Some(Vec::new()) };
        let mut openings = Vec::new();
        if let Some(own) = &client.egress {
            openings.push((own.clone(), own.1.ports(name)?));
        }
        let mut through = client.networks_egress.is_empty();
        for network in &client.networks_egress {
            match network.as_ref().map(|keyed| (keyed, keyed.1.ports(name))) {
                None => through = true,
                Some((keyed, Some(ports))) => {
                    through = true;
                    openings.push((keyed.clone(), ports));
                }
                Some((_, None)) => {}
            }
        }
        through.then_some(openings)
    }

    /// The names that an address has for this client, its container's first.
    pub(crate) fn reverse(&self, client: IpAddr, ip: IpAddr) -> Result<Vec<String>, Meaning> {
        let Some(client) = self.clients.get(&client) else { return Err(Meaning::Stranger) };
        let found = client.networks.iter().find_map(|network| self.reverse.get(&(network.clone(), ip)));
        let whole = |names: &Vec<String>| names.iter().map(|name| format!("{name}.{DOMAIN}.")).collect();
        found.map(whole).ok_or_else(|| client.elsewhere())
    }

    /// What answers a question that is not about addresses of a name.
    pub(crate) fn elsewhere(&self, client: IpAddr) -> Meaning {
        self.clients.get(&client).map_or(Meaning::Stranger, Client::elsewhere)
    }
}

impl Client {
    fn elsewhere(&self) -> Meaning {
        if self.outside { Meaning::Elsewhere(self.servers.clone()) } else { Meaning::Unknown }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::network::dns) fn ip(text: &str) -> IpAddr {
        text.parse().expect("parses")
    }

    /// web is on a and b, db on a, other on b, inner on an internal network c.
    pub(in crate::network::dns) fn zone() -> Zone {
        let place = |network: &str, address: &str, names: &[&str]| Place {
            network: network.into(),
            addresses: vec![ip(address)],
            names: names.iter().map(|&name| name.to_owned()).collect(),
            enabled: true,
            ..Place::default()
        };
        let entry = |places| Entry { places, ..Entry::default() };
        let mut web = entry(vec![place("a", "10.1.0.2", &["web"]), place("b", "10.2.0.2", &["web", "www"])]);
        web.links.push(("Database".into(), vec![ip("10.1.0.3")]));
        let mut db = entry(vec![place("a", "10.1.0.3", &["db", "data"])]);
        db.places[0].addresses.push(ip("fd00:1::3"));
        let db2 = entry(vec![place("a", "10.1.0.4", &["db2", "data"])]);
        let other = entry(vec![place("b", "10.2.0.3", &["other"])]);
        let mut inner = entry(vec![place("c", "10.3.0.2", &["inner"])]);
        inner.places[0].internal = true;
        Zone::new(&[web, db, db2, other, inner], vec![ip("192.0.2.9")])
    }

    #[test]
    fn names_are_known_on_their_networks_only() {
        let zone = zone();
        let show = |client: &str, name: &str| match zone.look_up(ip(client), name) {
            Meaning::Addresses(ips) => ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            other => format!("{other:?}"),
        };
        for (client, name, expected) in [
            ("10.1.0.2", "db", "10.1.0.3 fd00:1::3"),
            ("10.1.0.2", "db.dns.podman", "10.1.0.3 fd00:1::3"),
            ("10.2.0.2", "db", "10.1.0.3 fd00:1::3"),
            ("10.1.0.2", "data", "10.1.0.3 10.1.0.4 fd00:1::3"),
            ("10.1.0.2", "database", "10.1.0.3"),
            ("10.1.0.3", "database", "Elsewhere([])"),
            ("10.1.0.3", "www", "Elsewhere([])"),
            ("10.1.0.3", "other", "Elsewhere([])"),
            ("10.1.0.3", "other.dns.podman", "Unknown"),
            ("10.2.0.3", "www", "10.2.0.2"),
            ("10.3.0.2", "example.org", "Unknown"),
            ("10.3.0.2", "inner", "10.3.0.2"),
            ("10.1.0.3", "host.containers.internal", "192.0.2.9"),
            ("10.9.0.9", "web", "Stranger"),
        ] {
            assert_eq!(show(client, name), expected, "{client} {name}");
        }
        assert_eq!(zone.reverse(ip("10.1.0.3"), ip("10.1.0.2")), Ok(vec!["web.dns.podman.".into()]));
        assert_eq!(zone.reverse(ip("10.2.0.3"), ip("10.2.0.2")).map(|names| names.len()), Ok(2));
        assert_eq!(zone.reverse(ip("10.1.0.3"), ip("10.2.0.3")), Err(Meaning::Elsewhere(Vec::new())));
    }
}
