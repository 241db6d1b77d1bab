//! Frames between taps and peers, and the messages that hosts exchange; a part of the netkeeper's loop.

use std::collections::HashSet;
use std::ffi::CString;
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto, socket_with, sockopt,
};

use super::directory::Directory;
use super::packet::{self, Kind, Sealer};
use super::segment::{Here, Message, PeerState, Say, Segment, Way};
use super::settings;
use crate::error::{Context, Error, Result};
use crate::network::bridge::driver::Driver;
use crate::network::bridge::object::Network;
use crate::network::dns::zone::Entry;
use crate::sys::netlink::Mac;
use crate::sys::tun;

/// Different ports at once.
const SOCKETS: usize = 4;

/// How long the netkeeper before this one may take to leave a port.
const LEAVING: Duration = Duration::from_secs(1);

/// Datagrams and frames before others have their turn.
const TURN: usize = 128;

/// How often the hosts tell each other everything.
const TICK: Duration = Duration::from_secs(5);

/// How long the first container of a network waits for what the other hosts have.
const GREETING: Duration = Duration::from_millis(150);

/// Containers in one message, which fits into one packet.
const CHUNK: usize = 4;

/// The shortest and the longest key file, in bytes.
const KEY: std::ops::RangeInclusive<usize> = 16..=4096;

const BUFFER: usize = 65536;

/// Sockets made on the host, for ports that are known later.
#[derive(Debug)]
pub(crate) struct Sockets {
    spare: Vec<OwnedFd>,
    ipv6: bool,
}

impl Sockets {
    /// For a process that is still in the host's network namespace.
    pub(crate) fn new() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let make = |family| (0..SOCKETS).map(|_| socket_with(family, SocketType::DGRAM, flags, None)).collect();
        match make(AddressFamily::INET6) {
            Ok(spare) => Ok(Self { spare, ipv6: true }),
            Err(Errno::AFNOSUPPORT) => Ok(Self { spare: make(AddressFamily::INET)?, ipv6: false }),
            Err(e) => Err(e),
        }
    }
}

#[derive(Debug)]
struct Underlay {
    socket: OwnedFd,
    port: u16,
    address: Option<IpAddr>,
}

#[derive(Debug)]
struct Relay {
    segment: Segment,
    vni: u32,
    underlay: usize,
    tap: OwnedFd,
    sealer: Option<Sealer>,
    directory: Option<Directory>,
}

/// All overlay networks of a netkeeper.
#[derive(Debug)]
pub(crate) struct Overlays {
    sockets: Sockets,
    epoll: Option<OwnedFd>,
    underlays: Vec<Underlay>,
    relays: Vec<Option<Relay>>,
    next: Instant,
    /// This netkeeper among all that ever were.
    life: u64,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

/// The tap of a network, in the netkeeper's namespace.
pub(crate) fn tap_name(network: &Network) -> Result<String> {
    Ok(format!("rpodv{:x}", settings::of(network)?.vni))
}

impl Overlays {
    pub(crate) fn new(sockets: Sockets) -> Self {
        Self {
            sockets,
            epoll: None,
            underlays: Vec::new(),
            relays: Vec::new(),
            next: Instant::now(),
            life: 0,
            buffer: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Readable when [`Overlays::turn`] has something to do; `None` without overlay networks.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.epoll.as_ref().map(AsFd::as_fd)
    }

    /// When [`Overlays::turn`] has something to do in any case.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.relays.iter().any(Option::is_some).then_some(self.next)
    }

    /// Connects this host to a network, if it is an overlay, and learns what the others have there. `own` is the host's address,
    /// `gateway` the hardware address of its bridge.
    pub(crate) fn open(&mut self, network: &Network, own: Option<IpAddr>, gateway: Mac) -> Result<()> {
        if network.driver != Driver::Overlay.as_str() {
            return Ok(());
        }
        if let Some(index) = self.find(&network.name) {
            if self
                .relays
                .get(index)
                .and_then(Option::as_ref)
                .is_some_and(|r| r.segment.network.options == network.options)
            {
                return Ok(());
            }
            return Err(Error::new(format!(
                "network {} was made anew while containers are on the old one",
                network.name
            ))
            .hint("stop the containers that are on it"));
        }
        let what = || format!("cannot connect network {} to its peers", network.name);
        let settings = settings::of(network)?;
        let taken = |relay: &Relay| relay.vni == settings.vni && relay.segment.network.name != network.name;
        if let Some(other) = self.relays.iter().flatten().find(|relay| taken(relay)) {
            return Err(Error::new(format!(
                "{}: network {} has its number {}",
                what(),
                other.segment.network.name,
                settings.vni
            ))
            .hint("choose one with --opt vni=NUMBER, the same on all hosts"));
        }
        if self.life == 0 {
            self.life = life().context(what)?;
        }
        let sealer = match &settings.key_file {
            None => None,
            Some(path) => {
                let secret = secret(path).map_err(|e| Error::wrap(what(), e))?;
                Some(Sealer::new(&secret, settings.vni, self.life).ok_or_else(|| Error::new(what()))?)
            }
        };
        let mut segment = Segment::new(network.clone(), gateway);
        let named = settings.peers.iter().map(|peer| {
            peer.address().ok_or_else(|| Error::new(format!("{}: the peer {} was not resolved", what(), peer.host)))
        });
        segment.set_peers(&named.collect::<Result<Vec<_>>>()?, false);
        let underlay = self.underlay(settings.port, settings.address).map_err(|e| Error::wrap(what(), e))?;
        let directory = match &settings.directory {
            None => None,
            Some(shared) => {
                let ip = settings.address.or(own).ok_or_else(|| {
                    Error::new(format!("{}: this host's address is not known", what()))
                        .hint("name it: --opt address=IP")
                })?;
                let address = SocketAddr::new(ip, settings.port);
                let mut directory = Directory::new(shared, &network.name, address, self.life)?;
                segment.set_peers(&directory.peers(), true);
                Some(directory)
            }
        };
        let name = CString::new(tap_name(network)?).context(what)?;
        let tap = tun::attach_tap(&name).context(what)?;
        fcntl_setfl(&tap, OFlags::NONBLOCK).context(what)?;
        let index = self.relays.iter().position(Option::is_none).unwrap_or(self.relays.len());
        let epoll = self.epoll.as_ref().ok_or_else(|| Error::new(what()))?;
        let data = epoll::EventData::new_u64(index as u64 | FRAMES);
        epoll::add(epoll, &tap, data, epoll::EventFlags::IN).context(what)?;
        let relay = Relay { segment, vni: settings.vni, underlay, tap, sealer, directory };
        match self.relays.get_mut(index) {
            Some(place) => *place = Some(relay),
            None => self.relays.push(Some(relay)),
        }
        self.buffer.resize(BUFFER, 0);
        self.next = Instant::now() + TICK;
        self.greet(index);
        Ok(())
    }

    /// Asks the peers what they have, and waits a moment for those that answer.
    fn greet(&mut self, index: usize) {
        let deadline = Instant::now() + GREETING;
        self.say(index, None, Say::Here { members: Vec::new(), hello: true });
        loop {
            let answered = self
                .relays
                .get(index)
                .and_then(Option::as_ref)
                .is_none_or(|relay| relay.segment.peers.iter().all(|peer| peer.last.is_some()));
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(epoll) = self.epoll.as_ref().filter(|_| !answered && !left.is_zero()) else { return };
            let mut fds = [PollFd::new(epoll, PollFlags::IN)];
            match poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
                Ok(0) => return,
                Ok(_) => drop(self.turn()),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// The socket for a port: the one that is there, or a spare one.
    fn underlay(&mut self, port: u16, address: Option<IpAddr>) -> Result<usize> {
        if let Some(index) = self.underlays.iter().position(|underlay| underlay.port == port) {
            let same = self.underlays.get(index).is_some_and(|underlay| underlay.address == address);
            return if same {
                Ok(index)
            } else {
                Err(Error::new(format!("another network has port {port} on another address")))
            };
        }
        let socket = self.sockets.spare.pop().ok_or_else(|| {
            Error::new(format!("overlay networks use {SOCKETS} other ports already"))
                .hint("networks can share one: --opt port=NUMBER")
        })?;
        let any = if self.sockets.ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { std::net::Ipv4Addr::UNSPECIFIED.into() };
        let local = self.raw(SocketAddr::new(address.unwrap_or(any), port));
        let bound = || -> Result<(), Errno> {
            if self.sockets.ipv6 {
                sockopt::set_ipv6_v6only(&socket, false)?;
            }
            bind(&socket, &local)?;
            // The larger, the fewer frames are lost while others have their turn; the kernel's limit decides.
            let _ = sockopt::set_socket_recv_buffer_size(&socket, 4 << 20);
            let epoll = match &self.epoll {
                Some(epoll) => epoll,
                None => self.epoll.insert(epoll::create(epoll::CreateFlags::CLOEXEC)?),
            };
            let data = epoll::EventData::new_u64(self.underlays.len() as u64);
            epoll::add(epoll, &socket, data, epoll::EventFlags::IN)
        };
        let mut bound = bound;
        let begun = Instant::now();
        let bound = loop {
            match bound() {
                // That of a netkeeper which is just ending, perhaps.
                Err(Errno::ADDRINUSE) if begun.elapsed() < LEAVING => std::thread::sleep(LEAVING / 100),
                bound => break bound,
            }
        };
        if let Err(e) = bound {
            let error = Error::wrap(format!("cannot listen on UDP port {port} of this host"), e);
            self.sockets.spare.push(socket);
            return Err(match e {
                Errno::ADDRINUSE => error.hint(
                    "another user or program has it: --opt port=NUMBER, the same on all hosts, or --opt peer=HOST:PORT",
                ),
                _ => error,
            });
        }
        self.underlays.push(Underlay { socket, port, address });
        Ok(self.underlays.len() - 1)
    }

    /// An address as the sockets have it: IPv4's within IPv6's.
    fn raw(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V4(v4) if self.sockets.ipv6 => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
            }
            other => other,
        }
    }

    fn find(&self, network: &str) -> Option<usize> {
        let is = |relay: &Option<Relay>| relay.as_ref().is_some_and(|relay| relay.segment.network.name == network);
        self.relays.iter().position(is)
    }

    /// Addresses that other hosts' containers have.
    pub(crate) fn taken(&self, network: &str) -> HashSet<IpAddr> {
        let relay = self.find(network).and_then(|index| self.relays.get(index)?.as_ref());
        relay.map(|relay| relay.segment.taken().collect()).unwrap_or_default()
    }

    /// Where this host begins to give addresses.
    pub(crate) fn beginning(&self) -> u64 {
        self.life
    }

    /// Names of other hosts' containers.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.relays.iter().flatten().flat_map(|relay| relay.segment.entries()).collect()
    }

    /// The peers of a network.
    pub(crate) fn states(&self, network: &str) -> Vec<PeerState> {
        let relay = self.find(network).and_then(|index| self.relays.get(index)?.as_ref());
        relay.map(|relay| relay.segment.states(Instant::now())).unwrap_or_default()
    }

    /// The networks that are connected.
    pub(crate) fn networks(&self) -> Vec<String> {
        self.relays.iter().flatten().map(|relay| relay.segment.network.name.clone()).collect()
    }

    /// This host's containers on a network are these. Without any it is left.
    pub(crate) fn set_local(&mut self, network: &str, local: Vec<Here>) {
        let Some(index) = self.find(network) else { return };
        if local.is_empty() {
            self.say(index, None, Say::Bye);
            // Closed, the tap is gone.
            if let Some(place) = self.relays.get_mut(index) {
                *place = None;
            }
            return;
        }
        let Some(relay) = self.relays.get_mut(index).and_then(Option::as_mut) else { return };
        let before = std::mem::replace(&mut relay.segment.local, local);
        let local = &relay.segment.local;
        let new: Vec<Here> = local.iter().filter(|here| !before.contains(here)).cloned().collect();
        let gone = before.iter().filter(|old| !local.iter().any(|here| here.id == old.id));
        let gone: Vec<String> = gone.map(|old| old.id.clone()).collect();
        if !gone.is_empty() {
            self.say(index, None, Say::Gone { ids: gone });
        }
        self.tell(index, None, &new, false);
    }

    /// Tells one peer, or all, of containers.
    fn tell(&mut self, index: usize, peer: Option<usize>, members: &[Here], hello: bool) {
        for chunk in members.chunks(CHUNK) {
            self.say(index, peer, Say::Here { members: chunk.to_vec(), hello });
        }
    }

    fn say(&mut self, index: usize, peer: Option<usize>, say: Say) {
        let Some(relay) = self.relays.get_mut(index).and_then(Option::as_mut) else { return };
        let Ok(body) = serde_json::to_vec(&relay.segment.message(say)) else { return };
        let to: Vec<usize> = peer.map_or_else(|| (0..relay.segment.peers.len()).collect(), |peer| vec![peer]);
        self.send(index, Kind::Message, &body, &to);
    }

    /// What cannot be sent is lost, as datagrams may be.
    fn send(&mut self, index: usize, kind: Kind, body: &[u8], to: &[usize]) {
        let ipv6 = self.sockets.ipv6;
        let Some(relay) = self.relays.get_mut(index).and_then(Option::as_mut) else { return };
        let Some(underlay) = self.underlays.get(relay.underlay) else { return };
        if !packet::write(&mut self.out, kind, relay.vni, body, relay.sealer.as_mut()) {
            return;
        }
        for peer in to.iter().filter_map(|&peer| relay.segment.peers.get(peer)) {
            let address = match peer.address {
                SocketAddr::V4(v4) if ipv6 => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
                other => other,
            };
            let _ = sendto(&underlay.socket, &self.out, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &address);
        }
    }

    /// Carries what has come; whether names or addresses are other ones now.
    pub(crate) fn turn(&mut self) -> bool {
        let mut changed = false;
        let mut events: Vec<epoll::Event> = Vec::with_capacity(16);
        if let Some(epoll) = &self.epoll {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            // Nothing comes of an error but another turn.
            let _ = epoll::wait(epoll, spare_capacity(&mut events), Some(&now));
        }
        for event in events {
            let data = event.data.u64();
            let index = (data & !FRAMES) as usize;
            if data & FRAMES != 0 {
                self.frames(index);
            } else {
                changed |= self.datagrams(index);
            }
        }
        if self.next <= Instant::now() {
            changed |= self.tick();
        }
        changed
    }

    fn frames(&mut self, index: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..TURN {
            let Some(relay) = self.relays.get(index).and_then(Option::as_ref) else { break };
            let Ok(length) = rustix::io::read(&relay.tap, &mut buffer[..]) else { break };
            let frame = buffer.get(..length).unwrap_or_default();
            match relay.segment.way_out(frame) {
                Way::Nowhere => {}
                Way::One(peer) => self.send(index, Kind::Frame, frame, &[peer]),
                Way::All => {
                    let all: Vec<usize> = (0..relay.segment.peers.len()).collect();
                    self.send(index, Kind::Frame, frame, &all);
                }
            }
        }
        self.buffer = buffer;
    }

    fn datagrams(&mut self, index: usize) -> bool {
        let mut changed = false;
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..TURN {
            let Some(underlay) = self.underlays.get(index) else { break };
            let (length, from) = match recvfrom(&underlay.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, length, Some(from))) => (length, from),
                Ok(_) | Err(Errno::INTR | Errno::CONNREFUSED) => continue,
                Err(_) => break,
            };
            let Ok(from) = SocketAddr::try_from(from) else { continue };
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            changed |= self.datagram(index, from, buffer.get_mut(..length).unwrap_or_default());
        }
        self.buffer = buffer;
        changed
    }

    fn datagram(&mut self, underlay: usize, from: SocketAddr, datagram: &mut [u8]) -> bool {
        let Some(vni) = packet::vni(datagram) else { return false };
        let is = |relay: &Option<Relay>| relay.as_ref().is_some_and(|r| r.vni == vni && r.underlay == underlay);
        let Some(index) = self.relays.iter().position(is) else { return false };
        let Some(relay) = self.relays.get_mut(index).and_then(Option::as_mut) else { return false };
        // Whoever is not listed is not heard.
        let Some(number) = relay.segment.peer(from) else { return false };
        let Some(peer) = relay.segment.peers.get_mut(number) else { return false };
        let Some((kind, body)) = packet::read(datagram, relay.sealer.as_ref(), &mut peer.heard) else { return false };
        match kind {
            Kind::Frame => {
                if relay.segment.may_enter(body) {
                    // A full queue: as lost as any frame.
                    let _ = rustix::io::write(&relay.tap, body);
                }
                false
            }
            Kind::Message => {
                let Ok(message) = serde_json::from_slice::<Message>(body) else { return false };
                let effect = relay.segment.hear(number, message, Instant::now());
                if effect.answer {
                    let local = relay.segment.local.clone();
                    if local.is_empty() {
                        self.say(index, Some(number), Say::Here { members: Vec::new(), hello: false });
                    }
                    self.tell(index, Some(number), &local, false);
                }
                effect.changed
            }
        }
    }

    /// Every few seconds: everything once more, and what is not heard of any more is gone.
    fn tick(&mut self) -> bool {
        let now = Instant::now();
        self.next = now + TICK;
        let mut changed = false;
        for index in 0..self.relays.len() {
            let Some(relay) = self.relays.get_mut(index).and_then(Option::as_mut) else { continue };
            if let Some(directory) = &mut relay.directory {
                changed |= relay.segment.set_peers(&directory.peers(), true);
            }
            changed |= relay.segment.expire(now);
            let local = relay.segment.local.clone();
            let quiet = |last: Option<Instant>| last.is_none_or(|last| now.duration_since(last) > 2 * TICK);
            let hello: Vec<bool> = relay.segment.peers.iter().map(|peer| quiet(peer.last)).collect();
            for (peer, hello) in hello.into_iter().enumerate() {
                self.tell(index, Some(peer), &local, hello);
            }
        }
        changed
    }
}

/// Tells a tap's events from a socket's.
const FRAMES: u64 = 1 << 63;

/// Later than all before (seconds since 1970), and like no other.
fn life() -> Result<u64, Errno> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs()) & 0xffff_ffff;
    let mut random = [0; 4];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(seconds << 32 | u64::from(u32::from_ne_bytes(random)))
}

fn secret(path: &Path) -> Result<Vec<u8>> {
    let what = || format!("cannot use the key file {}", path.display());
    let mut secret = Vec::new();
    let file = std::fs::File::open(path).context(what)?;
    file.take(*KEY.end() as u64 + 1).read_to_end(&mut secret).context(what)?;
    if !KEY.contains(&secret.len()) {
        return Err(Error::new(format!("{}: it must hold {} to {} bytes", what(), KEY.start(), KEY.end()))
            .hint("for example: head -c 32 /dev/urandom >FILE; the same file on all hosts"));
    }
    Ok(secret)
}
