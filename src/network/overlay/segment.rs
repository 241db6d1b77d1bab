//! One overlay network, seen from one host: its peers, who is where, and what is let through. Pure.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::packet::Heard;
use crate::network::bridge::endpoint::alias;
use crate::network::bridge::object::Network;
use crate::network::dns::zone::{Entry, Place};
use crate::network::subnet::Subnet;
use crate::sys::netlink::Mac;

/// How long a peer that says nothing is taken to be there.
const SILENCE: Duration = Duration::from_secs(20);

/// What is believed of one peer.
const MOST_CONTAINERS: usize = 4096;
const MOST_NAMES: usize = 64;

/// A container of some host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Here {
    /// The container's id.
    pub id: String,
    /// Its name, then other names on this network; in lower case.
    pub names: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    pub mac: Mac,
}

impl Here {
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ip.map(IpAddr::V4).into_iter().chain(self.ip6.map(IpAddr::V6))
    }
}

/// What hosts tell each other.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub network: String,
    pub subnets: Vec<Subnet>,
    pub say: Say,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Say {
    /// Containers that there are; with `hello`, the same is asked of the other.
    Here { members: Vec<Here>, hello: bool },
    /// Containers that have ended.
    Gone { ids: Vec<String> },
    /// The last one has.
    Bye,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub address: SocketAddr,
    /// A directory told of it.
    pub found: bool,
    pub heard: Heard,
    pub last: Option<Instant>,
    members: BTreeMap<String, (Here, Instant)>,
    complaint: Option<String>,
}

/// A peer as `network inspect` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerState {
    pub address: String,
    /// It was heard of lately.
    pub up: bool,
    pub containers: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complaint: Option<String>,
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Nowhere,
    All,
    One(usize),
}

/// What a message leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Effect {
    /// Names or addresses are other ones now.
    pub changed: bool,
    /// The peer is to be told of this host's containers.
    pub answer: bool,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub network: Network,
    pub peers: Vec<Peer>,
    pub local: Vec<Here>,
    gateway: Mac,
    gateways: Vec<IpAddr>,
}

impl Segment {
    /// `gateway` is the hardware address of every host's bridge.
    pub(super) fn new(network: Network, gateway: Mac) -> Self {
        let gateways = network.subnets.iter().filter_map(|range| range.gateway).collect();
        Self { network, peers: Vec::new(), local: Vec::new(), gateway, gateways }
    }

    /// Those that were named stay; those that a directory told of are these.
    pub(super) fn set_peers(&mut self, addresses: &[SocketAddr], found: bool) -> bool {
        let before = self.peers.len();
        self.peers.retain(|peer| peer.found != found || addresses.contains(&peer.address));
        let lost = self.peers.len() != before;
        for &address in addresses {
            if !self.peers.iter().any(|peer| peer.address == address) {
                let (heard, members) = (Heard::default(), BTreeMap::new());
                self.peers.push(Peer { address, found, heard, last: None, members, complaint: None });
            }
        }
        lost
    }

    pub(super) fn peer(&self, address: SocketAddr) -> Option<usize> {
        self.peers.iter().position(|peer| peer.address == address)
    }

    fn subnets(&self) -> Vec<Subnet> {
        self.network.subnets.iter().map(|range| range.subnet).collect()
    }

    pub(super) fn message(&self, say: Say) -> Message {
        Message { network: self.network.name.clone(), subnets: self.subnets(), say }
    }

    /// Where a frame of this host goes.
    pub(super) fn way_out(&self, frame: &[u8]) -> Way {
        let (Some(to), Some(from)) = (mac(frame, 0), mac(frame, 6)) else { return Way::Nowhere };
        // Every host has the gateway; nobody needs to ask another one for it.
        if from == self.gateway || to == self.gateway || self.asks_for_gateway(frame) {
            return Way::Nowhere;
        }
        if to[0] & 1 == 1 {
            return Way::All;
        }
        let has = |peer: &Peer| peer.members.values().any(|(here, _)| here.mac == to);
        self.peers.iter().position(has).map_or(Way::All, Way::One)
    }

    /// Whether a peer's frame may enter: not as from the gateway or from a container of this host.
    pub(super) fn may_enter(&self, frame: &[u8]) -> bool {
        let (Some(to), Some(from)) = (mac(frame, 0), mac(frame, 6)) else { return false };
        let own = |mac: Mac| self.local.iter().any(|here| here.mac == mac);
        from[0] & 1 == 0 && from != self.gateway && to != self.gateway && !own(from) && !self.asks_for_gateway(frame)
    }

    /// ARP (RFC 826) and neighbour solicitation (RFC 4861, 4.3) for one of the gateway's addresses, or an answer in its name.
    fn asks_for_gateway(&self, frame: &[u8]) -> bool {
        let gateway = |ip: IpAddr| self.gateways.contains(&ip);
        match frame.get(12..14) {
            Some([0x08, 0x06]) => {
                let ip = |at: usize| frame.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(IpAddr::from);
                ip(38).is_some_and(gateway) || ip(28).is_some_and(gateway)
            }
            Some([0x86, 0xdd]) => {
                const ICMP: u8 = 58;
                let target = frame.get(62..78).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(IpAddr::from);
                frame.get(20) == Some(&ICMP) && matches!(frame.get(54), Some(135 | 136)) && target.is_some_and(gateway)
            }
            _ => false,
        }
    }

    /// Takes note of what a peer says.
    pub(super) fn hear(&mut self, number: usize, message: Message, now: Instant) -> Effect {
        let subnets = self.subnets();
        let own: HashSet<IpAddr> = self.local.iter().flat_map(Here::addresses).chain(self.gateways.clone()).collect();
        let own_ids: HashSet<&str> = self.local.iter().map(|here| here.id.as_str()).collect();
        let Some(peer) = self.peers.get_mut(number) else { return Effect::default() };
        peer.last = Some(now);
        if message.network != self.network.name || message.subnets != subnets {
            peer.complaint = Some(format!(
                "has this number for network {:?} with other subnets: {}",
                message.network.chars().take(64).collect::<String>(),
                message.subnets.iter().take(4).map(Subnet::to_string).collect::<Vec<_>>().join(", ")
            ));
            let changed = !std::mem::take(&mut peer.members).is_empty();
            return Effect { changed, answer: false };
        }
        peer.complaint = None;
        let mut effect = Effect::default();
        match message.say {
            Say::Here { members, hello } => {
                effect.answer = hello;
                for mut here in members {
                    here.names.retain(|name| alias(name).is_ok());
                    here.names.truncate(MOST_NAMES);
                    let inside = |ip: IpAddr| subnets.iter().any(|subnet| subnet.contains(ip));
                    // What this host says itself comes back where it is among its own peers.
                    if own_ids.contains(here.id.as_str()) {
                        continue;
                    }
                    if let Some(ip) = here.addresses().find(|ip| own.contains(ip)) {
                        peer.complaint = Some(format!("claims {ip}, which is in use on this host"));
                        continue;
                    }
                    let known = peer.members.contains_key(&here.id);
                    let id = here.id.len() == 64 && here.id.bytes().all(|b| b.is_ascii_hexdigit());
                    if !id
                        || !here.addresses().all(inside)
                        || here.mac == self.gateway
                        || (!known && peer.members.len() >= MOST_CONTAINERS)
                    {
                        continue;
                    }
                    let id = here.id.clone();
                    let before = peer.members.insert(id, (here.clone(), now));
                    effect.changed |= before.is_none_or(|(before, _)| before != here);
                }
            }
            Say::Gone { ids } => {
                for id in ids {
                    effect.changed |= peer.members.remove(&id).is_some();
                }
            }
            Say::Bye => {
                effect.changed = !std::mem::take(&mut peer.members).is_empty();
                peer.last = None;
            }
        }
        effect
    }

    /// Forgets what was not heard of for long.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for peer in &mut self.peers {
            let before = peer.members.len();
            peer.members.retain(|_, (_, last)| now.duration_since(*last) < SILENCE);
            changed |= peer.members.len() != before;
        }
        changed
    }

    /// Addresses of other hosts' containers.
    pub(super) fn taken(&self) -> impl Iterator<Item = IpAddr> {
        self.peers.iter().flat_map(|peer| peer.members.values()).flat_map(|(here, _)| here.addresses())
    }

    /// Other hosts' containers, for name service. A name of a container of this host is its own.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let own: HashSet<&str> = self.local.iter().filter_map(|here| here.names.first()).map(String::as_str).collect();
        let entry = |here: &Here| Entry {
            places: vec![Place {
                network: self.network.name.clone(),
                addresses: here.addresses().collect(),
                names: here.names.iter().filter(|name| !own.contains(name.as_str())).cloned().collect(),
                enabled: self.network.dns_enabled,
                remote: true,
                ..Place::default()
            }],
            ..Entry::default()
        };
        self.peers.iter().flat_map(|peer| peer.members.values()).map(|(here, _)| entry(here)).collect()
    }

    pub(super) fn states(&self, now: Instant) -> Vec<PeerState> {
        let state = |peer: &Peer| PeerState {
            address: peer.address.to_string(),
            up: peer.last.is_some_and(|last| now.duration_since(last) < SILENCE),
            containers: peer.members.len(),
            complaint: peer.complaint.clone(),
        };
        self.peers.iter().map(state).collect()
    }
}

fn mac(frame: &[u8], at: usize) -> Option<Mac> {
    frame.get(..14)?.get(at..at + 6)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const GATEWAY: Mac = [2, 0, 0, 0, 0, 1];
    const OWN: Mac = [2, 0, 0, 0, 0, 2];
    const FAR: Mac = [2, 0, 0, 0, 0, 3];

    fn here(id: char, name: &str, ip: &str, mac: Mac) -> Here {
        let id = id.to_string().repeat(64);
        Here { id, names: vec![name.to_owned()], ip: ip.parse().ok(), ip6: None, mac }
    }

    fn segment() -> Segment {
        let mut segment = Segment::new(Network::standard(Timestamp::UNIX_EPOCH), GATEWAY);
        segment.set_peers(&["192.0.2.1:4789".parse().expect("an address")], false);
        segment.local = vec![here('a', "web", "10.88.0.2", OWN)];
        segment
    }

    fn say(segment: &mut Segment, members: Vec<Here>) -> Effect {
        let message = segment.message(Say::Here { members, hello: false });
        segment.hear(0, message, Instant::now())
    }

    fn frame(to: Mac, from: Mac, rest: &[u8]) -> Vec<u8> {
        [&to[..], &from[..], rest].concat()
    }

    fn arp(target: [u8; 4]) -> Vec<u8> {
        let mut frame = frame([0xff; 6], OWN, &[8, 6]);
        frame.resize(42, 0);
        frame[38..42].copy_from_slice(&target);
        frame
    }

    #[test]
    fn a_peer_speaks_for_its_own_only() {
        let mut segment = segment();
        assert!(say(&mut segment, vec![here('b', "db", "10.88.0.3", FAR)]).changed);
        assert!(!say(&mut segment, vec![here('b', "db", "10.88.0.3", FAR)]).changed);
        for (bad, why) in [
            (here('c', "x", "10.88.0.2", FAR), "this host's address"),
            (here('c', "x", "10.88.0.1", FAR), "the gateway's"),
            (here('c', "x", "10.99.0.4", FAR), "outside"),
            (here('c', "x", "10.88.0.4", GATEWAY), "the gateway's hardware address"),
            (here('a', "x", "10.88.0.4", FAR), "this host's container"),
            (Here { id: "../x".into(), ..here('c', "x", "10.88.0.4", FAR) }, "no id"),
        ] {
            assert!(!say(&mut segment, vec![bad]).changed, "{why}");
        }
        assert_eq!(segment.taken().map(|ip| ip.to_string()).collect::<Vec<_>>(), ["10.88.0.3"]);
        say(
            &mut segment,
            vec![Here { names: vec!["web".into(), "a b".into(), "www".into()], ..here('d', "", "10.88.0.5", FAR) }],
        );
        let names: Vec<_> = segment.entries().into_iter().flat_map(|entry| entry.places[0].names.clone()).collect();
        assert_eq!(names, ["db", "www"]);
        let other = Message { network: "other".into(), subnets: Vec::new(), say: Say::Bye };
        assert!(segment.hear(0, other, Instant::now()).changed);
        assert!(segment.states(Instant::now())[0].complaint.is_some());
        say(&mut segment, vec![here('b', "db", "10.88.0.3", FAR)]);
        assert!(segment.expire(Instant::now() + SILENCE) && segment.entries().is_empty());
    }

    #[test]
    fn frames_go_where_they_belong() {
        let mut segment = segment();
        say(&mut segment, vec![here('b', "db", "10.88.0.3", FAR)]);
        let unknown = [2, 0, 0, 0, 0, 9];
        for (frame, way, enter) in [
            (frame(FAR, OWN, &[8, 0]), Way::One(0), false),
            (frame(unknown, OWN, &[8, 0]), Way::All, false),
            (frame([0xff; 6], OWN, &[8, 0]), Way::All, false),
            (frame(OWN, FAR, &[8, 0]), Way::All, true),
            (frame(GATEWAY, FAR, &[8, 0]), Way::Nowhere, false),
            (frame(FAR, GATEWAY, &[8, 0]), Way::Nowhere, false),
            (frame(OWN, [3, 0, 0, 0, 0, 3], &[8, 0]), Way::All, false),
            (arp([10, 88, 0, 1]), Way::Nowhere, false),
            (arp([10, 88, 0, 3]), Way::All, false),
            (vec![0; 13], Way::Nowhere, false),
        ] {
            assert_eq!((segment.way_out(&frame), segment.may_enter(&frame)), (way, enter), "{frame:?}");
        }
    }
}
