//! rtnetlink(7): batches of requests prepared as bytes, so that they can be sent without allocating.

mod link;
pub(crate) mod nflog;
pub(crate) mod nft;

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

pub(crate) use link::{Action, Mac, Peer, Selector, SubInterface, SubKind, is_gone};
pub(crate) use nft::masquerade_ipv6;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send};

/// Requests that are carried out in order. A few may name an interface whose index is known only when they are sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the index of the late interface belongs.
    late: Vec<usize>,
    steps: Vec<&'static str>,
    /// Start of the message being written.
    start: usize,
}

/// Which interface a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Index {
    Known(u32),
    /// The one given to [`Batch::apply`].
    Late,
}

/// The loopback interface has this index in every network namespace.
pub(crate) const LOOPBACK: Index = Index::Known(1);

/// The most that [`Batch::apply`] sends: it works on the stack.
const LIMIT: usize = 1024;

/// Multicast group of link changes (RTMGRP_LINK).
const GROUP_LINK: u32 = 1;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWRULE: u16 = 32;

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
/// NLM_F_EXCL would make a second forwarder in a shared namespace fail; routes and addresses are replaced or tolerated.
const CREATE: u16 = 0x400;

const IFF_UP: u32 = 1;
const IFF_LOWER_UP: u32 = 0x1_0000;

/// What [`Batch::rule`] matches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Match {
    /// Packets with this mark.
    Mark(u32),
    /// UDP packets sent from these ports, first and last (Linux 4.17).
    UdpFrom(u16, u16),
}

impl Batch {
    /// Brings an interface up; without `link_local`, IPv6 gives it no address by itself.
    pub(crate) fn up(&mut self, step: &'static str, index: Index, mtu: Option<u32>, link_local: bool) {
        self.begin(step, RTM_NEWLINK, 0);
        self.put(&[libc::AF_UNSPEC as u8, 0, 0, 0]);
        self.put_index(index);
        self.put(&IFF_UP.to_ne_bytes());
        self.put(&IFF_UP.to_ne_bytes());
        if let Some(mtu) = mtu {
            self.attribute(4, &mtu.to_ne_bytes());
        }
        if !link_local {
            // IFLA_AF_SPEC { AF_INET6 { IFLA_INET6_ADDR_GEN_MODE = IN6_ADDR_GEN_MODE_NONE } }, each with its length.
            let mut family = [0u8; 12];
            for (pair, half) in family.chunks_exact_mut(2).zip([12, libc::AF_INET6 as u16, 5, 8]) {
                pair.copy_from_slice(&half.to_ne_bytes());
            }
            family[8] = 1;
            self.attribute(26, &family);
        }
        self.end();
    }

    /// Gives an interface an address, usable at once (IPv6: without duplicate address detection).
    pub(crate) fn address(&mut self, step: &'static str, index: Index, ip: IpAddr, prefix: u8) {
        const NODAD: u8 = 2;
        const LINK: u8 = 253;
        self.begin(step, RTM_NEWADDR, CREATE);
        let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let (flags, scope) = (if ip.is_ipv6() { NODAD } else { 0 }, if link_local { LINK } else { 0 });
        self.put(&[family(ip), prefix, flags, scope]);
        self.put_index(index);
        self.attribute(2, &octets(ip));
        self.attribute(1, &octets(ip));
        if let IpAddr::V4(ip) = ip {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            self.attribute(4, &(u32::from(ip) | !mask).to_be_bytes());
        }
        self.end();
    }

    /// Sends everything else to a gateway.
    pub(crate) fn default_route(&mut self, step: &'static str, index: Index, gateway: IpAddr) {
        const MAIN: u8 = 254;
        const STATIC: u8 = 4;
        const UNICAST: u8 = 1;
        self.begin(step, RTM_NEWROUTE, CREATE);
        self.put(&[family(gateway), 0, 0, 0, MAIN, STATIC, 0, UNICAST, 0, 0, 0, 0]);
        self.attribute(5, &octets(gateway));
        self.begin_attribute(4, 4);
        self.put_index(index);
        self.end();
    }

    /// Delivers everything inside this namespace, as routing table `table` says; `any` tells the protocol version.
    pub(crate) fn local_default(&mut self, step: &'static str, table: u32, any: IpAddr) {
        self.local(step, RTM_NEWROUTE, CREATE, table, None, any);
    }

    /// Delivers what goes to `destination` inside this namespace, as routing table `table` says; packets that have no sender
    /// yet are from `source`.
    pub(crate) fn local_route(&mut self, step: &'static str, table: u32, destination: IpAddr, source: IpAddr) {
        self.local(step, RTM_NEWROUTE, CREATE, table, Some(destination), source);
    }

    /// Takes back what [`Batch::local_route`] did.
    pub(crate) fn no_local_route(&mut self, step: &'static str, table: u32, destination: IpAddr) {
        self.local(step, RTM_DELROUTE, 0, table, Some(destination), destination);
    }

    fn local(
        &mut self,
        step: &'static str,
        kind: u16,
        flags: u16,
        table: u32,
        destination: Option<IpAddr>,
        source: IpAddr,
    ) {
        const STATIC: u8 = 4;
        const HOST: u8 = 254;
        const LOCAL: u8 = 2;
        self.begin(step, kind, flags);
        let length = destination.map_or(0, |ip| if ip.is_ipv4() { 32 } else { 128 });
        self.put(&[family(source), length, 0, 0, 0, STATIC, HOST, LOCAL, 0, 0, 0, 0]);
        self.attribute(15, &table.to_ne_bytes());
        if let Some(ip) = destination {
            self.attribute(1, &octets(ip));
        }
        if kind == RTM_NEWROUTE && !source.is_unspecified() {
            self.attribute(7, &octets(source));
        }
        self.begin_attribute(4, 4);
        self.put_index(LOOPBACK);
        self.end();
    }

    /// Makes matching packets look into routing table `table` first.
    pub(crate) fn rule(&mut self, step: &'static str, ipv6: bool, what: Match, table: u32, priority: u32) {
        const TO_TABLE: u8 = 1;
        self.begin(step, RTM_NEWRULE, CREATE);
        let family = if ipv6 { libc::AF_INET6 } else { libc::AF_INET } as u8;
        self.put(&[family, 0, 0, 0, 0, 0, 0, TO_TABLE, 0, 0, 0, 0]);
        self.attribute(6, &priority.to_ne_bytes());
        self.attribute(15, &table.to_ne_bytes());
        match what {
            Match::Mark(mark) => self.attribute(10, &mark.to_ne_bytes()),
            Match::UdpFrom(first, last) => {
                self.attribute(22, &[libc::IPPROTO_UDP as u8]);
                let ([a, b], [c, d]) = (first.to_ne_bytes(), last.to_ne_bytes());
                self.attribute(23, &[a, b, c, d]);
            }
        }
        self.end();
    }

    /// Carries the requests out, allocating nothing; on failure the step's name.
    pub(crate) fn apply(&self, socket: &OwnedFd, late: u32) -> Result<(), (&'static str, Errno)> {
        self.exchange(socket, late, &mut [0u8; LIMIT])
    }

    /// [`Batch::apply`] for any number of requests.
    pub(crate) fn apply_all(&self, socket: &OwnedFd, late: u32) -> Result<(), (&'static str, Errno)> {
        self.exchange(socket, late, &mut vec![0u8; self.bytes.len().max(LIMIT)])
    }

    fn exchange(&self, socket: &OwnedFd, late: u32, buffer: &mut [u8]) -> Result<(), (&'static str, Errno)> {
        let first = self.steps.first().copied().unwrap_or("netlink");
        let message = buffer.get_mut(..self.bytes.len()).ok_or((first, Errno::TOOBIG))?;
        message.copy_from_slice(&self.bytes);
        for &place in &self.late {
            message[place..place + 4].copy_from_slice(&late.to_ne_bytes());
        }
        send(socket, message, SendFlags::empty()).map_err(|e| (first, e))?;
        let mut answered = 0;
        let mut failed = None;
        while answered < self.steps.len() {
            let (_, length) = recv(socket, &mut *buffer, RecvFlags::empty()).map_err(|e| (first, e))?;
            for (kind, sequence, body) in Messages(buffer.get(..length).unwrap_or_default()) {
                if kind != NLMSG_ERROR {
                    continue;
                }
                answered += 1;
                let code = word(body, 0) as i32;
                if code != 0 && failed.is_none() {
                    let step = self.steps.get(sequence as usize).copied().unwrap_or(first);
                    failed = Some((step, Errno::from_raw_os_error(-code)));
                }
            }
        }
        // Every answer was taken from the socket, so that it can be used again.
        failed.map_or(Ok(()), Err)
    }

    fn begin(&mut self, step: &'static str, kind: u16, flags: u16) {
        self.start = self.bytes.len();
        let sequence = self.steps.len() as u32;
        self.steps.push(step);
        self.put(&[0; 4]);
        self.put(&kind.to_ne_bytes());
        self.put(&(REQUEST | ACK | flags).to_ne_bytes());
        self.put(&sequence.to_ne_bytes());
        self.put(&[0; 4]);
    }

    fn end(&mut self) {
        let length = (self.bytes.len() - self.start) as u32;
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn put_index(&mut self, index: Index) {
        if index == Index::Late {
            self.late.push(self.bytes.len());
        }
        let number = match index {
            Index::Known(number) => number,
            Index::Late => 0,
        };
        self.put(&number.to_ne_bytes());
    }

    fn begin_attribute(&mut self, kind: u16, length: u16) {
        self.put(&(length + 4).to_ne_bytes());
        self.put(&kind.to_ne_bytes());
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.begin_attribute(kind, value.len() as u16);
        self.put(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A socket for requests in the caller's network namespace.
pub(crate) fn socket() -> Result<OwnedFd, Errno> {
    open(SocketFlags::CLOEXEC, 0)
}

/// A socket that hears of link changes in the caller's network namespace (non-blocking).
pub(crate) fn link_events() -> Result<OwnedFd, Errno> {
    open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, GROUP_LINK)
}

fn open(flags: SocketFlags, groups: u32) -> Result<OwnedFd, Errno> {
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?; // protocol 0: NETLINK_ROUTE
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Whether the events waiting in [`link_events`]' socket say that an interface beside loopback got its carrier.
pub(crate) fn carrier_came(events: &impl AsFd) -> Result<bool, Errno> {
    let mut buffer = [0u8; 8192];
    loop {
        let length = match recv(events, &mut buffer[..], RecvFlags::empty()) {
            Ok((_, length)) => length,
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => continue,
            // More events than the socket could keep: the one waited for may be among the lost.
            Err(Errno::NOBUFS) => return Ok(true),
            Err(e) => return Err(e),
        };
        for (kind, _, body) in Messages(buffer.get(..length).unwrap_or_default()) {
            if kind == RTM_NEWLINK && word(body, 4) != 1 && word(body, 8) & IFF_LOWER_UP != 0 {
                return Ok(true);
            }
        }
    }
}

/// The global addresses of the interfaces in the caller's network namespace, and the gateways of its default routes.
pub(crate) fn addresses_and_gateways() -> Result<(Vec<IpAddr>, Vec<IpAddr>), Errno> {
    let socket = socket()?;
    let mut addresses = Vec::new();
    dump(&socket, RTM_GETADDR, RTM_NEWADDR, 8, |body| {
        const UNIVERSE: u8 = 0;
        if body.get(3) == Some(&UNIVERSE) {
            // IFA_LOCAL is the interface's own address; IPv6 has IFA_ADDRESS only.
            let ip = attribute_ip(body, 8, 2).or_else(|| attribute_ip(body, 8, 1));
            addresses.extend(ip.filter(|ip| !ip.is_loopback()));
        }
    })?;
    let mut gateways = Vec::new();
    dump(&socket, RTM_GETROUTE, RTM_NEWROUTE, 12, |body| {
        if body.get(1) == Some(&0) {
            gateways.extend(attribute_ip(body, 12, 5));
        }
    })?;
    Ok((addresses, gateways))
}

/// The networks that the caller's network namespace has routes to, beside the default: address and prefix length.
pub(crate) fn networks() -> Result<Vec<(IpAddr, u8)>, Errno> {
    const UNICAST: u8 = 1;
    let socket = socket()?;
    let mut networks = Vec::new();
    dump(&socket, RTM_GETROUTE, RTM_NEWROUTE, 12, |body| {
        if let (Some(&prefix @ 1..), Some(&UNICAST)) = (body.get(1), body.get(7)) {
            networks.extend(attribute_ip(body, 12, 1).map(|ip| (ip, prefix)));
        }
    })?;
    Ok(networks)
}

fn dump(socket: &OwnedFd, ask: u16, expect: u16, header: usize, mut each: impl FnMut(&[u8])) -> Result<(), Errno> {
    let mut request = Vec::with_capacity(32);
    request.extend_from_slice(&((16 + header) as u32).to_ne_bytes());
    request.extend_from_slice(&ask.to_ne_bytes());
    request.extend_from_slice(&(REQUEST | DUMP).to_ne_bytes());
    request.resize(16 + header, 0);
    send(socket, &request, SendFlags::empty())?;
    let mut buffer = vec![0u8; 32768];
    loop {
        let (_, length) = recv(socket, &mut buffer[..], RecvFlags::empty())?;
        for (kind, _, body) in Messages(buffer.get(..length).unwrap_or_default()) {
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => return Err(Errno::from_raw_os_error(-(word(body, 0) as i32))),
                _ if kind == expect => each(body),
                _ => {}
            }
        }
    }
}

/// Messages in a received buffer: (type, sequence, body).
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (u16, u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = word(self.0, 0) as usize;
        if length < 16 {
            return None;
        }
        let message = self.0.get(..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((half(message, 4), word(message, 8), &message[16..]))
    }
}

fn attribute_ip(body: &[u8], header: usize, wanted: u16) -> Option<IpAddr> {
    let mut rest = body.get(header..)?;
    while let length @ 4.. = usize::from(half(rest, 0)) {
        let value = rest.get(4..length)?;
        if half(rest, 2) == wanted {
            return <[u8; 4]>::try_from(value)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
                .ok();
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

fn family(ip: IpAddr) -> u8 {
    (if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
