//! The name server's sockets and its loop, which is a part of the netkeeper's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, acceptfrom_with, bind, listen, socket_with, sockopt};

use super::answer::{self, Verdict};
use super::quick;
use super::tcp::Stream;
use super::upstream::{Sockets, Upstream};
use super::zone::Zone;
use crate::network::egress::guard::Guard;
use crate::sys::datagrams::Datagrams;
use crate::sys::socket;

const PORT: u16 = 53;

/// Connections at once, all together and of one client, and how long one may be idle.
const CONNECTIONS: usize = 64;
const SHARE: usize = 16;
const IDLE: Duration = Duration::from_secs(8);

/// Sockets for questions over UDP, two for each bridge.
const QUEUES: usize = 512;

/// System calls' worth of datagrams, or connections, before others have their turn.
const TURN: usize = 16;

/// Whom an answer is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    Datagram { socket: usize, to: SocketAddr, from: Option<(IpAddr, u32)> },
    Stream { index: usize, generation: u32, ip: IpAddr },
}

impl Asker {
    pub(super) fn ip(&self) -> IpAddr {
        match self {
            Self::Datagram { to, .. } => to.ip(),
            Self::Stream { ip, .. } => *ip,
        }
    }

    pub(super) fn is_tcp(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }
}

/// What an event is about, packed into epoll's 64 bits.
pub(super) struct Token;

impl Token {
    const DATAGRAMS: u64 = 0;
    const LISTENER: u64 = 1;
    const CLIENT: u64 = 2;
    const UPSTREAM: u64 = 3;

    fn pack(kind: u64, index: usize) -> epoll::EventData {
        epoll::EventData::new_u64(kind << 32 | index as u64)
    }

    pub(super) fn upstream(index: usize) -> epoll::EventData {
        Self::pack(Self::UPSTREAM, index)
    }
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    ip: IpAddr,
    generation: u32,
    stream: Stream,
    active: Instant,
}

/// A socket for questions over UDP.
#[derive(Debug)]
struct Datagram {
    socket: OwnedFd,
    /// The bridge that its questions come through, so that a flood on one network fills no queue of another.
    interface: Option<String>,
}

/// The name server.
pub(crate) struct Server {
    epoll: OwnedFd,
    datagrams: Vec<Option<Datagram>>,
    listeners: Vec<OwnedFd>,
    clients: Vec<Option<Client>>,
    generation: u32,
    upstream: Upstream,
    events: Vec<epoll::Event>,
    turn: usize,
    /// Room for datagrams, from the first one on.
    many: Option<Box<Datagrams>>,
}

impl Server {
    /// Listens in the caller's network namespace.
    pub(crate) fn new(sockets: Sockets) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut server = Self {
            epoll,
            datagrams: Vec::new(),
            listeners: Vec::new(),
            clients: Vec::new(),
            generation: 0,
            upstream: Upstream::new(sockets),
            events: Vec::with_capacity(64),
            turn: 0,
            many: None,
        };
        server.listen(Ipv4Addr::UNSPECIFIED.into())?;
        match server.listen(Ipv6Addr::UNSPECIFIED.into()) {
            // A kernel without IPv6.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {}
            result => result?,
        }
        Ok(server)
    }

    fn listen(&mut self, any: IpAddr) -> Result<(), Errno> {
        let family = if any.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        self.listen_udp(any, None)?;
        let tcp = socket_with(family, SocketType::STREAM, flags, None)?;
        if any.is_ipv6() {
            sockopt::set_ipv6_v6only(&tcp, true)?;
        }
        sockopt::set_socket_reuseaddr(&tcp, true)?;
        let address = SocketAddr::new(any, PORT);
        bind(&tcp, &address)?;
        listen(&tcp, 64)?;
        let flags = epoll::EventFlags::IN;
        epoll::add(&self.epoll, &tcp, Token::pack(Token::LISTENER, self.listeners.len()), flags)?;
        self.listeners.push(tcp);
        Ok(())
    }

    fn listen_udp(&mut self, any: IpAddr, interface: Option<&str>) -> Result<(), Errno> {
        let family = if any.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let udp = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        if any.is_ipv6() {
            sockopt::set_ipv6_v6only(&udp, true)?;
        }
        socket::tell_destination(&udp, any.is_ipv6())?;
        if let Some(interface) = interface {
            socket::bind_to_interface(&udp, interface)?;
        }
        bind(&udp, &SocketAddr::new(any, PORT))?;
        let index = self.datagrams.iter().position(Option::is_none).unwrap_or(self.datagrams.len());
        epoll::add(&self.epoll, &udp, Token::pack(Token::DATAGRAMS, index), epoll::EventFlags::IN)?;
        let datagram = Datagram { socket: udp, interface: interface.map(str::to_owned) };
        match self.datagrams.get_mut(index) {
            Some(place) => *place = Some(datagram),
            None => self.datagrams.push(Some(datagram)),
        }
        Ok(())
    }

    /// These are the bridges now. One without a queue of its own uses that of all.
    pub(crate) fn follow(&mut self, bridges: &[&str]) {
        for place in &mut self.datagrams {
            let gone = |datagram: &mut Datagram| {
                datagram.interface.as_ref().is_some_and(|interface| !bridges.contains(&interface.as_str()))
            };
            if let Some(datagram) = place.take_if(gone) {
                let _ = epoll::delete(&self.epoll, &datagram.socket);
            }
        }
        for bridge in bridges {
            let known = self.datagrams.iter().flatten().any(|known| known.interface.as_deref() == Some(bridge));
            if known || self.datagrams.len() >= QUEUES {
                continue;
            }
            let versions: &[IpAddr] = match self.listeners.len() {
                1 => &[IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
                _ => &[IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
            };
            for any in versions {
                let _ = self.listen_udp(*any, Some(bridge));
            }
        }
    }

    /// Readable when [`Server::turn`] has something to do.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// When [`Server::turn`] has something to do in any case.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let idle = self.clients.iter().flatten().map(|client| client.active + IDLE).min();
        [self.upstream.deadline(), idle].into_iter().flatten().min()
    }

    /// The address that names of the host stand for.
    pub(crate) fn host_address(&self) -> Option<IpAddr> {
        self.upstream.host_address()
    }

    /// Answers what has come.
    pub(crate) fn turn(&mut self, zone: &Zone, guard: &mut Guard) -> Result<(), Errno> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&now)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            let data = event.data.u64();
            let index = (data & 0xffff_ffff) as usize;
            match data >> 32 {
                Token::DATAGRAMS => self.receive(index, zone, guard),
                Token::LISTENER => self.accept(index),
                Token::CLIENT => self.client(index, zone, guard),
                _ => {
                    if let Some((asker, answer)) = self.upstream.event(&self.epoll, index) {
                        if !guard.is_empty() {
                            // Before the answer arrives, the addresses in it are allowed.
                            for ((keyed, ports), addresses) in answer::openings(&answer, asker.ip(), zone) {
                                guard.pin(&keyed.0, &ports, &addresses);
                            }
                        }
                        self.deliver(asker, &answer);
                    }
                }
            }
        }
        self.events = events;
        for (asker, answer) in self.upstream.expire(&self.epoll) {
            self.deliver(asker, &answer);
        }
        for place in &mut self.clients {
            // Dropped, it is closed, which ends the watching too.
            let _ = place.take_if(|client| client.active.elapsed() >= IDLE);
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, zone: &Zone, guard: &mut Guard) {
        let mut many = self.many.take().unwrap_or_else(|| Box::new(Datagrams::new()));
        for _ in 0..TURN {
            let Some(udp) = self.datagrams.get(index).and_then(Option::as_ref).map(|d| &d.socket) else { break };
            // Errors of earlier answers (a client that is gone) are told here; there is nothing to do about them.
            let count = match many.receive(udp) {
                Ok(count) => count,
                Err(Errno::AGAIN) => break,
                Err(_) => continue,
            };
            for number in 0..count {
                self.turn = self.turn.wrapping_add(1);
                let Some(question) = many.question(number) else { continue };
                let client = question.from.ip();
                match quick::answer(question.bytes, client, zone, self.turn, question.answer) {
                    Some(length) => many.answer(number, length),
                    None => {
                        let asker = Asker::Datagram { socket: index, to: question.from, from: question.to };
                        self.question(question.bytes, asker, zone, guard);
                    }
                }
            }
            if let Some(udp) = self.datagrams.get(index).and_then(Option::as_ref) {
                many.send(&udp.socket);
            }
        }
        self.many = Some(many);
    }

    /// A question that came as a datagram.
    fn question(&mut self, packet: &[u8], asker: Asker, zone: &Zone, guard: &mut Guard) {
        match answer::answer(packet, asker.ip(), zone, false, self.turn) {
            Verdict::Answer(answer) => self.deliver(asker, &answer),
            Verdict::Barred(answer, name) => {
                guard.refuse_name(asker.ip(), &name);
                self.deliver(asker, &answer);
            }
            Verdict::Forward(servers) => {
                // A client that hears nothing asks again.
                let _ = self.upstream.ask(&self.epoll, asker, packet, servers);
            }
            Verdict::Ignore => {}
        }
    }

    fn deliver(&mut self, asker: Asker, answer: &[u8]) {
        match asker {
            Asker::Datagram { socket, to, from } => {
                if let Some(udp) = self.datagrams.get(socket).and_then(Option::as_ref) {
                    // A full queue or a client that is gone: as lost as any datagram.
                    let _ = socket::send_from(&udp.socket, answer, to, from);
                }
            }
            Asker::Stream { index, generation, .. } => {
                let Some(place) = self.clients.get_mut(index) else { return };
                if let Some(client) = place.as_mut().filter(|client| client.generation == generation) {
                    client.stream.say(answer);
                    if client.stream.flush(&client.socket).is_err() {
                        *place = None;
                        return;
                    }
                    let output = client.stream.has_output();
                    watch(&self.epoll, &client.socket, index, output);
                }
            }
        }
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..TURN {
            let Some(listener) = self.listeners.get(index) else { return };
            let (socket, peer) = match acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok((socket, Some(peer))) => (socket, peer),
                Err(Errno::INTR | Errno::CONNABORTED) | Ok(_) => continue,
                Err(_) => return,
            };
            let Ok(peer) = SocketAddr::try_from(peer) else { continue };
            let share = self.clients.iter().flatten().filter(|client| client.ip == peer.ip()).count();
            let free = self.clients.iter().position(Option::is_none).unwrap_or(self.clients.len());
            if share >= SHARE || free >= CONNECTIONS {
                continue;
            }
            self.generation = self.generation.wrapping_add(1);
            if epoll::add(&self.epoll, &socket, Token::pack(Token::CLIENT, free), epoll::EventFlags::IN).is_err() {
                continue;
            }
            let client = Client {
                socket,
                ip: peer.ip(),
                generation: self.generation,
                stream: Stream::default(),
                active: Instant::now(),
            };
            match self.clients.get_mut(free) {
                Some(place) => *place = Some(client),
                None => self.clients.push(Some(client)),
            }
        }
    }

    fn client(&mut self, index: usize, zone: &Zone, guard: &mut Guard) {
        loop {
            let Some(client) = self.clients.get_mut(index).and_then(Option::as_mut) else { return };
            client.active = Instant::now();
            let question = client.stream.flush(&client.socket).and_then(|()| client.stream.question(&client.socket));
            let (generation, ip) = (client.generation, client.ip);
            match question {
                Ok(None) => {
                    let output = client.stream.has_output();
                    return watch(&self.epoll, &client.socket, index, output);
                }
                Err(_) => {
                    self.clients[index] = None;
                    return;
                }
                Ok(Some(packet)) => {
                    self.turn = self.turn.wrapping_add(1);
                    let asker = Asker::Stream { index, generation, ip };
                    match answer::answer(&packet, ip, zone, true, self.turn) {
                        Verdict::Answer(answer) => self.deliver(asker, &answer),
                        Verdict::Barred(answer, name) => {
                            guard.refuse_name(ip, &name);
                            self.deliver(asker, &answer);
                        }
                        Verdict::Forward(servers) => {
                            if !self.upstream.ask(&self.epoll, asker, &packet, servers) {
                                self.clients[index] = None;
                                return;
                            }
                        }
                        Verdict::Ignore => {
                            self.clients[index] = None;
                            return;
                        }
                    }
                }
            }
        }
    }
}

fn watch(epoll: &OwnedFd, socket: &OwnedFd, index: usize, output: bool) {
    let flags = if output { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
    // Fails only for a socket that is not watched, which is closed then.
    let _ = epoll::modify(epoll, socket, Token::pack(Token::CLIENT, index), flags);
}
