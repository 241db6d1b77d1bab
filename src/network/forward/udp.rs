//! UDP flows: one connected socket inside the container's namespace for each client of each published port.
//!
//! A flow ends when nothing has passed for a while, sooner as long as the service has not answered (as conntrack does).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::Listener;
use super::inside::{Inside, Way};
use crate::sys::socket;

const UNANSWERED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(180);

/// How often ended flows are looked for.
pub(super) const SWEEP: Duration = Duration::from_secs(5);

/// A flood of forged addresses gets no more than this many sockets.
const MOST: usize = 8192;

/// The largest datagram.
const DATAGRAM: usize = 65536;

/// How many datagrams one socket may pass before others have their turn.
const TURN: u32 = 64;

/// Who talks to whom: the listener's number, the client, the host's address that it used.
type Key = (usize, SocketAddr, Option<IpAddr>);

#[derive(Debug)]
struct Flow {
    socket: OwnedFd,
    key: Key,
    /// The interface that the client came through.
    interface: u32,
    way: Way,
    fallback: Vec<Way>,
    last: Instant,
    answered: bool,
}

#[derive(Debug)]
pub(super) struct Flows {
    flows: Vec<Option<Flow>>,
    free: Vec<usize>,
    by_key: HashMap<Key, usize>,
    buffer: Vec<u8>,
    swept: Instant,
}

impl Flows {
    pub(super) fn new() -> Self {
        Self { flows: Vec::new(), free: Vec::new(), by_key: HashMap::new(), buffer: Vec::new(), swept: Instant::now() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Datagrams from clients. `watch` is told of a new flow's socket.
    pub(super) fn receive_requests(
        &mut self,
        number: usize,
        listener: &Listener,
        inside: &mut Inside,
        watch: &mut dyn FnMut(&OwnedFd, usize) -> Result<(), Errno>,
    ) {
        self.buffer.resize(DATAGRAM, 0);
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..TURN {
            let datagram = match socket::receive(&listener.socket, &mut buffer) {
                Ok(datagram) => datagram,
                // Errors of datagrams sent earlier are reported here; the next one may be fine.
                Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::INTR) => continue,
                Err(_) => break,
            };
            let key = (number, datagram.from, datagram.to.map(|(ip, _)| ip));
            let interface = datagram.to.map_or(0, |(_, interface)| interface);
            let found = self.by_key.get(&key).copied();
            let flow = found.or_else(|| self.begin(key, interface, listener.container_port, inside, watch));
            let Some(flow) = flow.and_then(|index| self.flows.get_mut(index)).and_then(Option::as_mut) else {
                continue;
            };
            flow.last = Instant::now();
            let data = buffer.get(..datagram.length).unwrap_or_default();
            for _ in 0..2 {
                // The first error may be of an earlier datagram. What cannot be sent is lost, as datagrams may be.
                if send(&flow.socket, data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) != Err(Errno::CONNREFUSED) {
                    break;
                }
            }
        }
        self.buffer = buffer;
    }

    fn begin(
        &mut self,
        key: Key,
        interface: u32,
        port: u16,
        inside: &mut Inside,
        watch: &mut dyn FnMut(&OwnedFd, usize) -> Result<(), Errno>,
    ) -> Option<usize> {
        if self.by_key.len() >= MOST {
            self.sweep(inside, UNANSWERED / 10);
            if self.by_key.len() >= MOST {
                return None;
            }
        }
        let mut ways = inside.ways(key.1, port).into_iter();
        let way = ways.next()?;
        let socket = inside.datagrams(way).ok()?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.flows.push(None);
            self.flows.len() - 1
        });
        if watch(&socket, index).is_err() {
            inside.drop_route(way);
            self.free.push(index);
            return None;
        }
        let fallback = ways.collect();
        let flow = Flow { socket, key, interface, way, fallback, last: Instant::now(), answered: false };
        *self.flows.get_mut(index)? = Some(flow);
        self.by_key.insert(key, index);
        Some(index)
    }

    /// Datagrams from the service.
    pub(super) fn receive_answers(
        &mut self,
        index: usize,
        listeners: &[Listener],
        inside: &mut Inside,
        watch: &mut dyn FnMut(&OwnedFd, usize) -> Result<(), Errno>,
    ) {
        self.buffer.resize(DATAGRAM, 0);
        let Some(flow) = self.flows.get_mut(index).and_then(Option::as_mut) else { return };
        let Some(listener) = listeners.get(flow.key.0) else { return };
        for _ in 0..TURN {
            match recv(&flow.socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, length)) => {
                    (flow.last, flow.answered) = (Instant::now(), true);
                    let data = self.buffer.get(..length).unwrap_or_default();
                    let from = flow.key.2.map(|ip| (ip, flow.interface));
                    // What the host cannot send is lost, as datagrams may be.
                    let _ = socket::send_from(&listener.socket, data, flow.key.1, from);
                }
                // Nobody listens on this protocol version: the client's next datagram takes the other way.
                Err(Errno::CONNREFUSED) if !flow.answered && !flow.fallback.is_empty() => {
                    let way = flow.fallback.remove(0);
                    if let Ok(socket) = inside.datagrams(way) {
                        inside.drop_route(flow.way);
                        (flow.socket, flow.way) = (socket, way);
                        let _ = watch(&flow.socket, index);
                    }
                }
                Err(Errno::CONNREFUSED | Errno::INTR) => {}
                Err(_) => break,
            }
        }
    }

    /// Ends all flows: the clients' next datagrams begin new ones.
    pub(super) fn clear(&mut self, inside: &mut Inside) {
        self.by_key.clear();
        for (index, place) in self.flows.iter_mut().enumerate() {
            if let Some(flow) = place.take() {
                inside.drop_route(flow.way);
                self.free.push(index);
            }
        }
    }

    /// Ends old flows, if it is time.
    pub(super) fn tick(&mut self, inside: &mut Inside) {
        if self.swept.elapsed() >= SWEEP {
            self.sweep(inside, UNANSWERED);
        }
    }

    fn sweep(&mut self, inside: &mut Inside, unanswered: Duration) {
        self.swept = Instant::now();
        for (index, place) in self.flows.iter_mut().enumerate() {
            let old = |flow: &mut Flow| flow.last.elapsed() > if flow.answered { ANSWERED } else { unanswered };
            if let Some(flow) = place.take_if(old) {
                inside.drop_route(flow.way);
                self.by_key.remove(&flow.key);
                self.free.push(index);
            }
        }
    }
}
