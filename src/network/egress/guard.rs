//! Policies at work in the netkeeper's namespace.
//!
//! ```text
//! chain forward     established → on; from a bridge with a policy → its chain; from an address with a policy → its chain
//! chain of a policy to an allowed network, port, or address in a set of pins → back; else told of (NFLOG) and refused
//! chain of a port   what comes from a container with a policy has its addresses, or is dropped
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::policy::{Destination, Policy};
use super::tap;
use crate::error::{Error, Result};
use crate::state::events::{self, Event, Subject as About};
use crate::sys::netlink::nflog;
use crate::sys::netlink::nft::{FORWARD, Family, Hook, INGRESS, Rule, Transaction};

const TABLE: &str = "rpod-egress";
const PORTS: &str = "rpod-ports";
const GROUP: u16 = 114;

/// What of a refused packet is told: its headers.
const HEADERS: u32 = 96;

/// Refused packets that are told of, in a second; all are refused.
const TOLD: u64 = 100;

/// How long an answer's addresses are allowed at least: programs look a name up and connect a little later.
pub(crate) const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Pinned addresses of all policies.
const MOST_PINS: usize = 16384;

/// Refusals that are kept, and events that are written in a minute: a flood is counted, not written down.
const MOST_REFUSALS: usize = 512;
const EVENTS: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

/// Somebody who has a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Unlike all others': `n-INTERFACE` or `c-ID`.
    pub key: String,
    pub of: Whose,
    pub policy: Policy,
}

/// Whose packets a policy is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    Bridge(String),
    Addresses(Vec<IpAddr>),
}

/// An address that an answer of name service allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pin {
    key: String,
    port: Option<u16>,
    ip: IpAddr,
}

/// What was refused, as `network inspect` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub container: String,
    /// An address or a name, and the port.
    pub destination: String,
    pub protocol: String,
    pub count: u64,
    /// Seconds since 1970.
    pub last: i64,
}

/// A refusal that outlives its netkeeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// The container's id.
    pub id: String,
    pub networks: Vec<String>,
    pub refused: Refused,
}

#[derive(Debug)]
struct Kept {
    refused: Refused,
    networks: Vec<String>,
    noted: Instant,
}

/// Who has an address.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub id: String,
    pub name: String,
    pub networks: Vec<String>,
}

/// All policies of a netkeeper.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    subjects: BTreeMap<String, Subject>,
    /// Until when.
    pins: BTreeMap<Pin, Instant>,
    /// When the first of them is over.
    next: Option<Instant>,
    log: Option<OwnedFd>,
    owners: HashMap<IpAddr, Owner>,
    refusals: BTreeMap<(String, String, String), Kept>,
    /// Where events are noted.
    pub events: Option<PathBuf>,
    minute: Option<Instant>,
    written: u32,
}

impl Guard {
    /// Nobody has a policy.
    pub(crate) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Readable when [`Guard::hear`] has something to do; `None` without policies.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.log.as_ref().map(AsFd::as_fd)
    }

    /// When [`Guard::expire`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// These policies, and no others, hold from now on.
    pub(crate) fn apply(&mut self, wanted: Vec<Subject>) -> Result<()> {
        let wanted: BTreeMap<String, Subject> =
            wanted.into_iter().map(|subject| (subject.key.clone(), subject)).collect();
        if wanted == self.subjects {
            return Ok(());
        }
        let first = self.log.is_none();
        if first {
            self.log = Some(nflog::listen(GROUP, HEADERS).map_err(explain)?);
        }
        let mut transaction = Transaction::new(Family::Inet, TABLE);
        let hook = Hook { kind: "filter", number: FORWARD, priority: 0, device: None };
        transaction.chain("forward", Some(hook));
        transaction.flush("forward");
        let same =
            |subject: &Subject, other: Option<&Subject>| other.is_some_and(|other| other.policy == subject.policy);
        for subject in self.subjects.values().filter(|subject| !same(subject, wanted.get(&subject.key))) {
            transaction.delete_chain(&subject.key);
            for (port, ipv6) in sets(&subject.policy) {
                transaction.delete_set(&set_name(&subject.key, port, ipv6));
            }
        }
        let mut number = 0;
        for subject in wanted.values().filter(|subject| !same(subject, self.subjects.get(&subject.key))) {
            write_policy(&mut transaction, subject, &mut number);
        }
        if !wanted.is_empty() {
            transaction.rule("forward", |rule| {
                rule.established();
                rule.accept();
            });
        }
        for subject in wanted.values() {
            match &subject.of {
                Whose::Bridge(interface) => transaction.rule("forward", |rule| {
                    rule.came_by(interface);
                    rule.jump(&subject.key);
                }),
                Whose::Addresses(addresses) => {
                    for ip in addresses {
                        transaction.rule("forward", |rule| {
                            rule.from(*ip);
                            rule.jump(&subject.key);
                        });
                    }
                }
            }
        }
        transaction.commit().map_err(explain)?;
        let old = std::mem::replace(&mut self.subjects, wanted);
        let kept = |key: &String| {
            let now = self.subjects.get(key);
            old.get(key).is_some_and(|before| same(before, now))
        };
        self.pins.retain(|pin, _| kept(&pin.key));
        Ok(())
    }

    /// What comes through a port in a bridge has these addresses, or is dropped; neither is there any other way to claim one.
    pub(crate) fn bind_port(&self, port: &str, addresses: &[IpAddr]) -> Result<()> {
        const IPV4: u16 = 0x0800;
        const ARP: u16 = 0x0806;
        const IPV6: u16 = 0x86dd;
        let octets = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let four: Vec<Vec<u8>> = addresses.iter().filter(|ip| ip.is_ipv4()).map(octets).collect();
        let mut six: Vec<Vec<u8>> = addresses.iter().filter(|ip| ip.is_ipv6()).map(octets).collect();
        // Duplicate address detection asks from no address.
        six.push(vec![0; 16]);
        let mut transaction = Transaction::new(Family::Netdev, PORTS);
        let hook = Hook { kind: "filter", number: INGRESS, priority: 0, device: Some(port) };
        transaction.chain(port, Some(hook));
        for (kind, offset, values) in [(IPV4, 12, &four), (ARP, 14, &four), (IPV6, 8, &six)] {
            transaction.rule(port, |rule| {
                rule.frame_is_not(kind, offset, values);
                rule.drop();
            });
        }
        transaction.commit().map_err(explain)
    }

    /// Who has which address.
    pub(crate) fn set_owners(&mut self, owners: HashMap<IpAddr, Owner>) {
        self.owners = owners;
    }

    /// Allows `key` the addresses of an answer.
    pub(crate) fn pin(&mut self, key: &str, ports: &[Option<u16>], ips: &[(IpAddr, u32)]) {
        if !self.subjects.contains_key(key) {
            return;
        }
        let mut transaction = Transaction::new(Family::Inet, TABLE);
        let mut new = Vec::new();
        let room = MOST_PINS.saturating_sub(self.pins.len());
        for &(ip, seconds) in ips {
            let until = Instant::now() + Duration::from_secs(u64::from(seconds)).clamp(SHORTEST, LONGEST);
            for &port in ports {
                let pin = Pin { key: key.to_owned(), port, ip };
                match self.pins.get_mut(&pin) {
                    Some(before) => *before = until.max(*before),
                    None if new.len() < room => {
                        transaction.element(&set_name(key, port, ip.is_ipv6()), ip, false);
                        new.push((pin, until));
                    }
                    None => {}
                }
            }
        }
        // What cannot be allowed stays forbidden.
        if !new.is_empty() && transaction.commit().is_ok() {
            self.pins.extend(new);
            self.next = self.pins.values().min().copied();
        }
    }

    /// Takes back what was allowed long enough.
    pub(crate) fn expire(&mut self) {
        let now = Instant::now();
        let late: Vec<Pin> = self.pins.iter().filter(|(_, until)| **until <= now).map(|(pin, _)| pin.clone()).collect();
        for pin in late {
            let mut transaction = Transaction::new(Family::Inet, TABLE);
            transaction.element(&set_name(&pin.key, pin.port, pin.ip.is_ipv6()), pin.ip, true);
            // Its set may be gone, and the address with it.
            let _ = transaction.commit();
            self.pins.remove(&pin);
        }
        self.next = self.pins.values().min().copied();
    }

    /// Takes note of refused packets.
    pub(crate) fn hear(&mut self) {
        let Some(log) = self.log.take() else { return };
        let mut heard = Vec::new();
        nflog::packets(&log, &mut vec![0; 32768], |packet| heard.extend(tap::read(packet)));
        self.log = Some(log);
        for headers in heard {
            let destination = match headers.port {
                Some(port) => std::net::SocketAddr::new(headers.to, port).to_string(),
                None => headers.to.to_string(),
            };
            let protocol = match i32::from(headers.protocol) {
                libc::IPPROTO_TCP => "tcp".to_owned(),
                libc::IPPROTO_UDP => "udp".to_owned(),
                libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6 => "icmp".to_owned(),
                other => other.to_string(),
            };
            self.note(headers.from, destination, protocol);
        }
    }

    /// A question about a name that is not allowed.
    pub(crate) fn refuse_name(&mut self, client: IpAddr, name: &str) {
        self.note(client, name.chars().take(253).filter(char::is_ascii_graphic).collect(), "dns".to_owned());
    }

    fn note(&mut self, from: IpAddr, destination: String, protocol: String) {
        let Some(owner) = self.owners.get(&from).cloned() else { return };
        let now = Instant::now();
        let seconds = jiff::Timestamp::now().as_second();
        let key = (owner.id.clone(), destination.clone(), protocol.clone());
        if !self.refusals.contains_key(&key) && self.refusals.len() >= MOST_REFUSALS {
            let oldest = self.refusals.iter().min_by_key(|(_, kept)| kept.refused.last).map(|(key, _)| key.clone());
            oldest.map(|key| self.refusals.remove(&key));
        }
        let due = match self.refusals.get_mut(&key) {
            Some(kept) => {
                kept.refused.count += 1;
                kept.refused.last = seconds;
                let due = now.duration_since(kept.noted) >= MINUTE;
                if due {
                    kept.noted = now;
                }
                due
            }
            None => true,
        };
        if !due {
            return;
        }
        let refused = Refused { container: owner.name.clone(), destination, protocol, count: 1, last: seconds };
        self.write(&owner, &refused);
        let networks = owner.networks;
        self.refusals.entry(key).or_insert(Kept { refused, networks, noted: now });
    }

    fn write(&mut self, owner: &Owner, refused: &Refused) {
        if self.minute.is_none_or(|minute| minute.elapsed() >= MINUTE) {
            (self.minute, self.written) = (Some(Instant::now()), 0);
        }
        self.written = self.written.saturating_add(1);
        let Some(directory) = self.events.as_ref().filter(|_| self.written <= EVENTS) else { return };
        let attributes = BTreeMap::from([
            ("destination".to_owned(), refused.destination.clone()),
            ("protocol".to_owned(), refused.protocol.clone()),
        ]);
        let event = Event {
            id: owner.id.as_str().into(),
            name: owner.name.as_str().into(),
            network: owner.networks.join(",").into(),
            attributes: Some(Cow::Owned(attributes)),
            ..Event::new(About::Container, "egress-refused")
        };
        events::append(directory, &[event]);
    }

    /// Everything that was refused.
    pub(crate) fn remembered(&self) -> Vec<Remembered> {
        let all = self.refusals.iter();
        all.map(|((id, ..), Kept { refused, networks, .. })| Remembered {
            id: id.clone(),
            networks: networks.clone(),
            refused: refused.clone(),
        })
        .collect()
    }

    /// Goes on with what an earlier netkeeper refused.
    pub(crate) fn remember(&mut self, all: Vec<Remembered>) {
        for Remembered { id, networks, refused } in all.into_iter().take(MOST_REFUSALS) {
            let key = (id, refused.destination.clone(), refused.protocol.clone());
            self.refusals.entry(key).or_insert(Kept { refused, networks, noted: Instant::now() });
        }
    }

    /// What was refused to containers on a network, the latest first.
    pub(crate) fn refused(&self, network: &str) -> Vec<Refused> {
        let on = |kept: &&Kept| kept.networks.iter().any(|name| name == network);
        let mut refused: Vec<Refused> = self.refusals.values().filter(on).map(|kept| kept.refused.clone()).collect();
        refused.sort_by_key(|refused| std::cmp::Reverse(refused.last));
        refused
    }
}

/// The sets of pins that a policy needs: by port and protocol version.
fn sets(policy: &Policy) -> Vec<(Option<u16>, bool)> {
    let names = policy.0.iter().filter(|rule| !matches!(rule.to, Destination::Net(_)));
    let mut ports: Vec<Option<u16>> = names.map(|rule| rule.port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.into_iter().flat_map(|port| [(port, false), (port, true)]).collect()
}

fn set_name(key: &str, port: Option<u16>, ipv6: bool) -> String {
    let version = if ipv6 { 6 } else { 4 };
    port.map_or_else(|| format!("{key}.{version}"), |port| format!("{key}.{port}.{version}"))
}

/// To a port: once for TCP, once for UDP; else once for everything.
fn with_port(transaction: &mut Transaction, chain: &str, port: Option<u16>, to: &dyn Fn(&mut Rule<'_>)) {
    let protocols = port.map_or(vec![None], |port| {
        [libc::IPPROTO_TCP, libc::IPPROTO_UDP].map(|protocol| Some((protocol as u8, port))).to_vec()
    });
    for protocol in protocols {
        transaction.rule(chain, |rule| {
            to(rule);
            if let Some((protocol, port)) = protocol {
                rule.goes_to_port(protocol, port);
            }
            rule.go_back();
        });
    }
}

fn write_policy(transaction: &mut Transaction, subject: &Subject, number: &mut u32) {
    let chain = subject.key.as_str();
    transaction.chain(chain, None);
    for (port, ipv6) in sets(&subject.policy) {
        *number += 1;
        let name = set_name(chain, port, ipv6);
        transaction.set(&name, ipv6, *number);
        with_port(transaction, chain, port, &|rule| rule.goes_to_one_of(&name, ipv6, *number));
    }
    for rule in &subject.policy.0 {
        if let Destination::Net(net) = rule.to {
            with_port(transaction, chain, rule.port, &|rule| rule.goes_to(net.address, net.prefix));
        }
    }
    transaction.rule(chain, |rule| {
        rule.limit(TOLD);
        rule.log(GROUP, HEADERS);
    });
    transaction.rule(chain, |rule| rule.reject());
}

fn explain(e: Errno) -> Error {
    let error = Error::wrap("cannot enforce the egress policy", e);
    match e {
        Errno::OPNOTSUPP | Errno::NOENT | Errno::PROTONOSUPPORT | Errno::INVAL => {
            error.hint("the kernel must have nf_tables with conntrack, log and reject, and NFLOG, for user namespaces")
        }
        _ => error,
    }
}
