//! The host's resolvers, asked from the host's network.
//!
//! The netkeeper is inside its own namespace and cannot make sockets on the host any more. It has a stock of them, made
//! before it entered; connect(2) with AF_UNSPEC makes each of them as new, so every question has a port of its own, which
//! together with its random id is what a forger would have to guess. /etc/resolv.conf is read again when it has changed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, connect_unspec, getsockname, recv, send,
    socket_with,
};

use super::answer;
use super::tcp::Stream;
use super::{LARGEST, server::Asker};
use crate::network::files::host_resolvers;

/// Questions under way at once, and those of one client among them: a flood is dropped here, not on the resolvers.
const DATAGRAMS: usize = 96;
const DATAGRAMS6: usize = 32;
const STREAMS: usize = 8;
const STREAMS6: usize = 4;
const SHARE: usize = 48;

/// How long one server may think, and how often the servers are tried.
const PATIENCE: Duration = Duration::from_millis(2500);
const TRIES: usize = 4;

/// How often resolv.conf is looked at.
const GLANCE: Duration = Duration::from_secs(1);
const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;

/// Sockets made on the host.
#[derive(Debug)]
pub(crate) struct Sockets {
    datagrams: Vec<OwnedFd>,
    datagrams6: Vec<OwnedFd>,
    streams: Vec<OwnedFd>,
    streams6: Vec<OwnedFd>,
}

impl Sockets {
    /// The stock, for a process that is still in the host's network namespace.
    pub(crate) fn new() -> Result<Self, Errno> {
        let make = |family, kind, count| -> Result<Vec<OwnedFd>, Errno> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            (0..count).map(|_| socket_with(family, kind, flags, None)).collect()
        };
        Ok(Self {
            datagrams: make(AddressFamily::INET, SocketType::DGRAM, DATAGRAMS)?,
            streams: make(AddressFamily::INET, SocketType::STREAM, STREAMS)?,
            // A host without IPv6 has no such resolvers.
            datagrams6: make(AddressFamily::INET6, SocketType::DGRAM, DATAGRAMS6).unwrap_or_default(),
            streams6: make(AddressFamily::INET6, SocketType::STREAM, STREAMS6).unwrap_or_default(),
        })
    }
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Pending {
    asker: Asker,
    /// The client's id; the packet has ours.
    id: [u8; 2],
    packet: Vec<u8>,
    servers: Vec<IpAddr>,
    tried: usize,
    deadline: Instant,
    /// Over TCP: the connection.
    stream: Option<Stream>,
}

#[derive(Debug)]
struct Slot {
    socket: OwnedFd,
    ipv6: bool,
    tcp: bool,
    pending: Option<Pending>,
}

#[derive(Debug)]
pub(super) struct Upstream {
    slots: Vec<Slot>,
    servers: Vec<IpAddr>,
    looked: Option<Instant>,
    changed: Option<SystemTime>,
}

/// An answer and whom it is for.
pub(super) type Delivery = (Asker, Vec<u8>);

impl Upstream {
    pub(super) fn new(sockets: Sockets) -> Self {
        let slot = |ipv6, tcp| move |socket| Slot { socket, ipv6, tcp, pending: None };
        let mut slots: Vec<Slot> = sockets.datagrams.into_iter().map(slot(false, false)).collect();
        slots.extend(sockets.datagrams6.into_iter().map(slot(true, false)));
        slots.extend(sockets.streams.into_iter().map(slot(false, true)));
        slots.extend(sockets.streams6.into_iter().map(slot(true, true)));
        Self { slots, servers: Vec::new(), looked: None, changed: None }
    }

    /// The host's address towards the rest of the world, for names that stand for the host.
    pub(super) fn host_address(&self) -> Option<IpAddr> {
        // A documentation address (RFC 5737): routed like any other; nothing is sent.
        let far = SocketAddr::new(Ipv4Addr::new(198, 51, 100, 1).into(), 9);
        let slot = self.slots.iter().find(|slot| !slot.ipv6 && !slot.tcp && slot.pending.is_none())?;
        connect(&slot.socket, &far).ok()?;
        let own = getsockname(&slot.socket).ok().and_then(|name| SocketAddr::try_from(name).ok());
        let _ = connect_unspec(&slot.socket);
        own.map(|address| address.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
    }

    /// Asks `servers`, or the host's; `false` when that is too much.
    pub(super) fn ask(&mut self, epoll: &OwnedFd, asker: Asker, packet: &[u8], servers: Vec<IpAddr>) -> bool {
        let servers = if servers.is_empty() { self.host_servers() } else { servers };
        let share =
            self.slots.iter().filter(|s| s.pending.as_ref().is_some_and(|p| p.asker.ip() == asker.ip())).count();
        let [a, b, ..] = *packet else { return false };
        if servers.is_empty() || share >= SHARE {
            return false;
        }
        let pending = Pending {
            asker,
            id: [a, b],
            packet: packet.to_vec(),
            servers,
            tried: 0,
            deadline: Instant::now(),
            stream: None,
        };
        self.go_on(epoll, pending, false).is_none()
    }

    /// Asks the next server; gives the question back when none is left or no socket is free.
    fn go_on(&mut self, epoll: &OwnedFd, mut pending: Pending, tcp: bool) -> Option<Pending> {
        while pending.tried < TRIES.max(pending.servers.len()) {
            let server = pending.servers[pending.tried % pending.servers.len()];
            pending.tried += 1;
            let free = |slot: &Slot| slot.pending.is_none() && slot.ipv6 == server.is_ipv6() && slot.tcp == tcp;
            let Some(index) = self.slots.iter().position(free) else { continue };
            let mut id = [0; 2];
            if rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::NONBLOCK).is_err() {
                return Some(pending);
            }
            pending.packet[..2].copy_from_slice(&id);
            pending.deadline = Instant::now() + PATIENCE;
            let slot = &mut self.slots[index];
            let token = super::server::Token::upstream(index);
            let begun = match connect(&slot.socket, &SocketAddr::new(server, PORT)) {
                Ok(()) | Err(Errno::INPROGRESS) if tcp => {
                    pending.stream = Some(Stream::asking(&pending.packet));
                    epoll::add(epoll, &slot.socket, token, epoll::EventFlags::IN | epoll::EventFlags::OUT).is_ok()
                }
                Ok(()) => {
                    send(&slot.socket, &pending.packet, SendFlags::NOSIGNAL).is_ok()
                        && epoll::add(epoll, &slot.socket, token, epoll::EventFlags::IN).is_ok()
                }
                Err(_) => false,
            };
            if begun {
                slot.pending = Some(pending);
                return None;
            }
            slot.release(epoll);
        }
        Some(pending)
    }

    /// Something happened at a socket.
    pub(super) fn event(&mut self, epoll: &OwnedFd, index: usize) -> Option<Delivery> {
        let slot = self.slots.get_mut(index)?;
        let pending = slot.pending.as_mut()?;
        let answer = if slot.tcp {
            let stream = pending.stream.as_mut()?;
            match stream.turn(&slot.socket) {
                Ok(None) => {
                    let output = if stream.has_output() { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
                    let flags = epoll::EventFlags::IN | output;
                    // Fails only for a socket that is not watched, which has a deadline.
                    let _ = epoll::modify(epoll, &slot.socket, super::server::Token::upstream(index), flags);
                    return None;
                }
                Ok(Some(answer)) => Some(answer),
                Err(_) => None,
            }
        } else {
            let mut buffer = vec![0; 4096];
            match recv(&slot.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN | Errno::INTR) => return None,
                Ok((_, length)) => {
                    buffer.truncate(length);
                    Some(buffer)
                }
                // Nobody listens there.
                Err(_) => None,
            }
        };
        let tcp = slot.tcp;
        match answer {
            // Somebody else's, or late.
            Some(answer) if !belongs(&answer, &pending.packet) => None,
            Some(answer) => {
                let mut pending = slot.finish(epoll)?;
                let truncated = answer.get(2).is_some_and(|flags| flags & 2 != 0);
                if truncated && !tcp && pending.asker.is_tcp() {
                    pending.tried = 0;
                    return self.go_on(epoll, pending, true).and_then(give_up);
                }
                Some(deliver(pending, answer))
            }
            None => {
                let pending = slot.finish(epoll)?;
                self.go_on(epoll, pending, tcp).and_then(give_up)
            }
        }
    }

    /// Goes on with those that have waited long enough.
    pub(super) fn expire(&mut self, epoll: &OwnedFd) -> Vec<Delivery> {
        let now = Instant::now();
        let late = |slot: &Slot| slot.pending.as_ref().is_some_and(|pending| pending.deadline <= now);
        let late: Vec<usize> = (0..self.slots.len()).filter(|&index| late(&self.slots[index])).collect();
        let mut given_up = Vec::new();
        for index in late {
            let tcp = self.slots[index].tcp;
            if let Some(pending) = self.slots[index].finish(epoll) {
                given_up.extend(self.go_on(epoll, pending, tcp).and_then(give_up));
            }
        }
        given_up
    }

    /// When [`Upstream::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.slots.iter().filter_map(|slot| slot.pending.as_ref()).map(|pending| pending.deadline).min()
    }

    fn host_servers(&mut self) -> Vec<IpAddr> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= GLANCE) {
            self.looked = Some(Instant::now());
            let changed = std::fs::metadata(RESOLV_CONF).and_then(|meta| meta.modified()).ok();
            if changed != self.changed || self.servers.is_empty() {
                self.changed = changed;
                self.servers = host_resolvers(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default());
                if self.servers.is_empty() {
                    // resolv.conf(5): the name server on the local machine.
                    self.servers = vec![Ipv4Addr::LOCALHOST.into()];
                }
            }
        }
        self.servers.clone()
    }
}

impl Slot {
    fn finish(&mut self, epoll: &OwnedFd) -> Option<Pending> {
        let mut pending = self.pending.take()?;
        pending.stream = None;
        self.release(epoll);
        Some(pending)
    }

    /// As new.
    fn release(&mut self, epoll: &OwnedFd) {
        // Not watched when asking failed at once.
        let _ = epoll::delete(epoll, &self.socket);
        let _ = connect_unspec(&self.socket);
        if !self.tcp {
            // What came meanwhile is of no use to the next question.
            let mut buffer = [0; 16];
            while recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC).is_ok() {}
        }
    }
}

fn deliver(pending: Pending, mut answer: Vec<u8>) -> Delivery {
    answer[..2].copy_from_slice(&pending.id);
    answer.truncate(LARGEST);
    (pending.asker, answer)
}

fn give_up(mut pending: Pending) -> Option<Delivery> {
    pending.packet[..2].copy_from_slice(&pending.id);
    answer::failure(&pending.packet).map(|answer| (pending.asker, answer))
}

/// Whether an answer has the id and the question of what was asked.
fn belongs(answer: &[u8], query: &[u8]) -> bool {
    let question = |packet: &[u8]| -> Option<Vec<u8>> {
        let mut at = 12;
        loop {
            match *packet.get(at)? {
                0 => return packet.get(12..at + 5).map(<[u8]>::to_ascii_lowercase),
                length @ 1..=63 => at += 1 + usize::from(length),
                _ => return None,
            }
        }
    };
    answer.len() >= 12 && answer[..2] == query[..2] && answer[2] & 0x80 != 0 && {
        let asked = question(query);
        // A refusal may leave the question out.
        (answer[4..6] == [0, 0] && answer[3] & 15 != 0) || (asked.is_some() && question(answer) == asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let query = [1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
        let mut good = query;
        good[2] |= 0x80;
        good[13] = b'A';
        assert!(belongs(&good, &query));
        for (place, value) in [(0, 9), (2, 1), (13, b'b'), (16, 9)] {
            let mut bad = good;
            bad[place] = value;
            assert!(!belongs(&bad, &query), "{place}");
        }
        assert!(!belongs(&good[..11], &query));
        assert!(!belongs(&good[..15], &query));
    }
}
