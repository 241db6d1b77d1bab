//! The containers on bridge networks: addresses, cables, and what name service knows of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::lease::Leases;
use super::order::{Join, Order};
use super::wires::{Cable, Wires, bridge_mac, mac_of, shared_mac};
use crate::error::{Error, Kind, Result};
use crate::network::bridge::driver::{Attachment, Driver, attachment};
use crate::network::bridge::endpoint::Endpoint;
use crate::network::bridge::object::Network;
use crate::network::dns::zone::{Entry, Place, Zone};
use crate::network::egress::guard::{Guard, Owner, Subject, Whose};
use crate::network::overlay::{Here, Overlays};
use crate::state::id;

/// How long a new netkeeper keeps the addresses of containers that an earlier one left behind.
const HOLD: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Member {
    order: Order,
    /// Once it is wired.
    namespace: Option<OwnedFd>,
    cables: Vec<Cable>,
    /// Tells this start of the container from the one before.
    generation: u64,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Members {
    pub wires: Wires,
    pub overlays: Overlays,
    pub guard: Guard,
    members: BTreeMap<String, Member>,
    /// By segment (the bridge's interface) and protocol version.
    leases: HashMap<(String, bool), Leases>,
    /// Segments and addresses.
    held: HashSet<(String, IpAddr)>,
    held_until: Instant,
    generations: u64,
}

impl Members {
    pub(super) fn new(wires: Wires, overlays: Overlays, held: HashSet<(String, IpAddr)>) -> Self {
        Self {
            wires,
            overlays,
            guard: Guard::default(),
            members: BTreeMap::new(),
            leases: HashMap::new(),
            held,
            held_until: Instant::now() + HOLD,
            generations: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Finds addresses; answers the complete order, and what stands for this start of the container.
    /// `host` is this host's address.
    pub(super) fn reserve(&mut self, mut order: Order, host: Option<IpAddr>) -> Result<(Order, u64)> {
        // A monitor that was killed a moment ago, whose connection has not been looked at yet.
        self.remove(&order.container);
        if order.egress.is_some() {
            order.joins.iter().try_for_each(|join| has_port(&join.network))?;
        }
        if order.events.is_some() {
            self.guard.events.clone_from(&order.events);
        }
        let mut done = 0;
        let mut taken = Vec::new();
        let result = order.joins.iter_mut().try_for_each(|join| {
            self.complete(join, &taken, host)?;
            taken.extend(join.endpoint.interface.clone());
            done += 1;
            Ok(())
        });
        if let Err(error) = result {
            order.joins.truncate(done);
            order.joins.iter().for_each(|join| self.give_back(join));
            return Err(error);
        }
        self.generations += 1;
        let member = Member { order: order.clone(), namespace: None, cables: Vec::new(), generation: self.generations };
        self.members.insert(order.container.clone(), member);
        if let Err(error) = self.guard.apply(self.subjects(None)) {
            self.remove(&order.container);
            return Err(error);
        }
        Ok((order, self.generations))
    }

    /// Fills in what an endpoint leaves open; `taken` are names of the container's other interfaces.
    fn complete(&mut self, join: &mut Join, taken: &[String], host: Option<IpAddr>) -> Result<()> {
        let Join { network, endpoint } = join;
        self.wires.check(network)?;
        endpoint.check(network)?;
        interface(endpoint, taken)?;
        self.overlays.open(network, host, bridge_mac(network))?;
        if self.held_until <= Instant::now() {
            self.held.clear();
        }
        let elsewhere = self.overlays.taken(&network.name);
        let mut held: HashSet<IpAddr> =
            self.held.iter().filter(|(segment, _)| *segment == network.network_interface).map(|(_, ip)| *ip).collect();
        held.extend(&elsewhere);
        let mut given: Vec<IpAddr> = Vec::new();
        for range in &network.subnets {
            let ipv6 = range.subnet.is_ipv6();
            let wish = if ipv6 { endpoint.ip6.map(IpAddr::V6) } else { endpoint.ip.map(IpAddr::V4) };
            let leases = self.leases.entry((network.network_interface.clone(), ipv6)).or_default();
            if network.driver == Driver::Overlay.as_str() {
                leases.begin_within(range, self.overlays.beginning());
            }
            let result = match wish {
                Some(ip) if elsewhere.contains(&ip) => Err(Error::new(format!(
                    "requested ip address {ip} is already allocated on network {}, on another host",
                    network.name
                ))
                .with_kind(Kind::Conflict)),
                Some(ip) => leases.take(ip, &network.name).map(|()| ip),
                None => leases.next(range, &held, &network.name),
            };
            match result {
                Ok(ip) => given.push(ip),
                Err(error) => {
                    for ip in given {
                        self.release(&network.network_interface, ip);
                    }
                    return Err(error);
                }
            }
        }
        for ip in &given {
            // Whoever had it has come back.
            self.held.remove(&(network.network_interface.clone(), *ip));
            match ip {
                IpAddr::V4(ip) => endpoint.ip = Some(*ip),
                IpAddr::V6(ip) => endpoint.ip6 = Some(*ip),
            }
        }
        if attachment(network) == Attachment::Ipvlan {
            endpoint.mac = Some(shared_mac(network));
        } else if endpoint.mac.is_none() {
            endpoint.mac = given.first().map(|ip| mac_of(*ip));
        }
        Ok(())
    }

    /// Connects a container whose addresses are reserved.
    pub(super) fn wire(&mut self, container: &str, namespace: OwnedFd) -> Result<()> {
        let member = self.members.get_mut(container).ok_or_else(|| unknown(container))?;
        let Order { joins, ports, .. } = &member.order;
        member.cables = self.wires.connect(joins, ports, &namespace, 0)?;
        member.namespace = Some(namespace);
        self.bind_ports(container)
    }

    /// A container with a policy of its own has its own addresses only.
    fn bind_ports(&self, container: &str) -> Result<()> {
        let Some(member) = self.members.get(container).filter(|member| member.order.egress.is_some()) else {
            return Ok(());
        };
        for (cable, join) in member.cables.iter().zip(&member.order.joins) {
            let mut ips = cable.ips();
            ips.extend(join.link_local().map(IpAddr::V6));
            cable.port().map(|port| self.guard.bind_port(port, &ips)).transpose()?;
        }
        Ok(())
    }

    /// Connects a running container to one more network; answers all of its networks.
    pub(super) fn connect(&mut self, container: &str, mut join: Join, host: Option<IpAddr>) -> Result<Vec<Join>> {
        let member = self.members.get(container).ok_or_else(|| unknown(container))?;
        if member.order.joins.iter().any(|other| other.network.name == join.network.name) {
            return Err(Error::new(format!(
                "container {} is already connected to network {:?}: network already connected",
                id::short(container),
                join.network.name
            ))
            .with_kind(Kind::Conflict));
        }
        if member.order.egress.is_some() {
            has_port(&join.network)?;
        }
        let taken: Vec<String> = member.cables.iter().map(|cable| cable.interface().to_owned()).collect();
        self.complete(&mut join, &taken, host)?;
        let guarded = self.guard.apply(self.subjects(Some((container, &join))));
        if let Err(error) = guarded {
            self.give_back(&join);
            return Err(error);
        }
        let Some(member) = self.members.get_mut(container) else { return Err(unknown(container)) };
        let Some(namespace) = &member.namespace else { return Err(unknown(container)) };
        let number = member.cables.len();
        match self.wires.connect(std::slice::from_ref(&join), &member.order.ports, namespace, number) {
            Ok(cables) => {
                member.cables.extend(cables);
                member.order.joins.push(join);
                let joins = member.order.joins.clone();
                self.bind_ports(container)?;
                Ok(joins)
            }
            Err(error) => {
                self.give_back(&join);
                Err(error)
            }
        }
    }

    /// Connects a running container anew, with the addresses it has.
    pub(super) fn reload(&mut self, container: &str) -> Result<Vec<Join>> {
        let member = self.members.get_mut(container).ok_or_else(|| unknown(container))?;
        let namespace = member.namespace.as_ref().ok_or_else(|| unknown(container))?;
        for cable in std::mem::take(&mut member.cables) {
            self.wires.disconnect(cable, Some(namespace));
        }
        member.cables = self.wires.connect(&member.order.joins, &member.order.ports, namespace, 0)?;
        let joins = member.order.joins.clone();
        self.bind_ports(container)?;
        Ok(joins)
    }

    /// Takes a running container off a network; answers those that are left.
    pub(super) fn disconnect(&mut self, container: &str, network: &str) -> Result<Vec<Join>> {
        let member = self.members.get_mut(container).ok_or_else(|| unknown(container))?;
        let Some(place) = member.order.joins.iter().position(|join| join.network.name == network) else {
            return Err(Error::new(format!(
                "container {} is not connected to network {network}: network not connected",
                id::short(container)
            )));
        };
        let join = member.order.joins.remove(place);
        let cable = member.cables.iter().position(|cable| cable.network == network).map(|i| member.cables.remove(i));
        let left = member.order.joins.clone();
        if let Some(cable) = cable {
            self.wires.disconnect(cable, member.namespace.as_ref());
        }
        self.give_back(&join);
        Ok(left)
    }

    /// The containers that have a link to this one.
    pub(super) fn linkers(&self, container: &str) -> Vec<String> {
        let has_link = |member: &&Member| member.order.links.iter().any(|(_, target)| target == container);
        self.members.values().filter(has_link).map(|member| member.order.container.clone()).collect()
    }

    /// A container is called something else; one that is not here needs nothing.
    pub(super) fn rename(&mut self, container: &str, name: &str) {
        if let Some(member) = self.members.get_mut(container) {
            name.clone_into(&mut member.order.name);
        }
    }

    /// A network asks other name servers.
    pub(super) fn set_servers(&mut self, network: &str, servers: &[IpAddr]) {
        let joins = self.members.values_mut().flat_map(|member| &mut member.order.joins);
        for join in joins.filter(|join| join.network.name == network) {
            join.network.network_dns_servers = servers.to_vec();
        }
    }

    /// A connection has ended: the container with it, unless it has been started again.
    pub(super) fn leave(&mut self, container: &str, generation: u64) -> bool {
        let this = self.members.get(container).is_some_and(|member| member.generation == generation);
        if this {
            self.remove(container);
        }
        this
    }

    fn remove(&mut self, container: &str) {
        let Some(member) = self.members.remove(container) else { return };
        // The namespace first: cables that end with it end anyway.
        drop(member.namespace);
        for cable in member.cables {
            self.wires.disconnect(cable, None);
        }
        member.order.joins.iter().for_each(|join| self.give_back(join));
    }

    fn give_back(&mut self, join: &Join) {
        for address in join.addresses() {
            self.release(&join.network.network_interface, address.ip);
        }
    }

    fn release(&mut self, segment: &str, ip: IpAddr) {
        if let Some(leases) = self.leases.get_mut(&(segment.to_owned(), ip.is_ipv6())) {
            leases.give_back(ip);
        }
    }

    /// What name service knows from now on.
    pub(super) fn zone(&self, host: Option<IpAddr>) -> Zone {
        let mut entries: Vec<Entry> = self.members.values().map(|member| self.entry(member)).collect();
        entries.extend(self.overlays.entries());
        Zone::new(&entries, host.into_iter().collect())
    }

    /// Whose packets leave under a policy; `more`: also a container's next network.
    fn subjects(&self, more: Option<(&str, &Join)>) -> Vec<Subject> {
        let mut subjects: BTreeMap<String, Subject> = BTreeMap::new();
        let extra = |container: &str| more.filter(|(of, _)| *of == container).map(|(_, join)| join);
        for member in self.members.values() {
            let joins = || member.order.joins.iter().chain(extra(&member.order.container));
            for network in joins().map(|join| &join.network) {
                if let Some(policy) = &network.egress {
                    let (key, of) = (network_key(network), Whose::Bridge(network.network_interface.clone()));
                    subjects.insert(key.clone(), Subject { key, of, policy: policy.clone() });
                }
            }
            if let Some(policy) = &member.order.egress {
                let key = container_key(&member.order.container);
                let of = Whose::Addresses(joins().flat_map(Join::addresses).map(|address| address.ip).collect());
                subjects.insert(key.clone(), Subject { key, of, policy: policy.clone() });
            }
        }
        subjects.into_values().collect()
    }

    /// Has policies, and what other hosts know, follow what has changed.
    pub(super) fn settle(&mut self) {
        // Only takes away what nobody needs: what somebody needs was there before he came.
        let _ = self.guard.apply(self.subjects(None));
        if !self.guard.is_empty() {
            let owner = |order: &Order| Owner {
                id: order.container.clone(),
                name: order.name.clone(),
                networks: order.joins.iter().map(|join| join.network.name.clone()).collect(),
            };
            let of = |member: &Member| {
                let owner = owner(&member.order);
                member.order.addresses().into_iter().map(move |address| (address.ip, owner.clone())).collect::<Vec<_>>()
            };
            self.guard.set_owners(self.members.values().flat_map(of).collect());
        }
        for network in self.overlays.networks() {
            let here = |member: &Member| {
                let Order { container, joins, .. } = &member.order;
                let join = joins.iter().find(|join| join.network.name == network)?;
                let Endpoint { ip, ip6, mac, .. } = join.endpoint;
                Some(Here {
                    id: container.clone(),
                    names: names(&member.order, join),
                    ip,
                    ip6,
                    mac: mac.unwrap_or_default(),
                })
            };
            self.overlays.set_local(&network, self.members.values().filter_map(here).collect());
        }
    }

    fn entry(&self, member: &Member) -> Entry {
        let Order { links, joins, .. } = &member.order;
        let place = |join: &Join| Place {
            network: join.network.name.clone(),
            addresses: join.addresses().iter().map(|address| address.ip).collect(),
            names: names(&member.order, join),
            enabled: join.network.dns_enabled,
            internal: join.network.internal,
            servers: join.network.network_dns_servers.clone(),
            remote: false,
            egress: join.network.egress.clone().map(|policy| Rc::new((network_key(&join.network), policy))),
        };
        let shared = |other: &Member| -> Vec<IpAddr> {
            let on_mine = |join: &&Join| joins.iter().any(|own| own.network.name == join.network.name);
            other.order.joins.iter().filter(on_mine).flat_map(Join::addresses).map(|address| address.ip).collect()
        };
        let link = |(alias, target): &(String, String)| Some((alias.clone(), shared(self.members.get(target)?)));
        Entry {
            places: joins.iter().map(place).collect(),
            links: links.iter().filter_map(link).collect(),
            servers: member.order.servers.clone(),
            egress: member.order.egress.clone().map(|policy| Rc::new((container_key(&member.order.container), policy))),
        }
    }
}

/// Names of policies' chains.
fn network_key(network: &Network) -> String {
    format!("n-{}", network.network_interface)
}

fn container_key(container: &str) -> String {
    format!("c-{}", id::short(container))
}

/// A container's own policy holds where its addresses can be told from its neighbours'.
fn has_port(network: &Network) -> Result<()> {
    if attachment(network) == Attachment::Cable {
        return Ok(());
    }
    Err(Error::new(format!(
        "--egress: containers on the {} network {} cannot be told apart",
        network.driver, network.name
    ))
    .hint("give the network the policy: rpod network create --egress …"))
}

/// What a container is called on a network, in lower case; its own name first.
fn names(order: &Order, join: &Join) -> Vec<String> {
    let own = [order.name.as_str(), id::short(&order.container), order.container.as_str()];
    let names = own.into_iter().chain(join.endpoint.aliases.iter().map(String::as_str));
    names.map(str::to_ascii_lowercase).collect()
}

/// The interface's name: the one asked for, or the first `ethN` that is free.
fn interface(endpoint: &mut Endpoint, taken: &[String]) -> Result<()> {
    match &endpoint.interface {
        Some(name) if taken.contains(name) || name == "lo" => {
            Err(Error::new(format!("the interface name {name} is used twice in the container")))
        }
        Some(_) => Ok(()),
        None => {
            endpoint.interface = (0u32..).map(|number| format!("eth{number}")).find(|name| !taken.contains(name));
            Ok(())
        }
    }
}

fn unknown(container: &str) -> Error {
    Error::new(format!("container {} is not on a bridge network now", id::short(container)))
}
