//! The forwarder's life: into the namespaces, then one epoll loop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, acceptfrom_with, recv, sockopt};
use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use super::inside::Inside;
use super::tcp::{Connection, Pipes, Progress, Side};
use super::udp::{Flows, SWEEP};
use super::{Addresses, Listener, PACKET, READY};
use crate::error::{Context, Error, Result};
use crate::network::helper::{Facts, Target};
use crate::network::ports::Protocol;
use crate::sys::{close, namespace, socket};

/// How many connections one listener may hand over before others have their turn.
const ACCEPT_TURN: u32 = 64;

/// How long listeners rest when descriptors have run out.
const REST: Duration = Duration::from_millis(100);

/// Forwards until this process is killed; answers only with an error.
pub(super) fn run(listeners: Vec<Listener>, target: &Target, facts: &Facts, parent: Pid, channel: &OwnedFd) -> Error {
    match forward(listeners, target, facts, parent, channel) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn forward(
    listeners: Vec<Listener>,
    target: &Target,
    facts: &Facts,
    parent: Pid,
    channel: &OwnedFd,
) -> Result<Infallible> {
    let mut keep: Vec<_> = listeners.iter().map(|listener| listener.socket.as_fd()).collect();
    keep.extend([channel.as_fd(), target.net.as_fd()]);
    keep.extend(target.user.as_ref().map(AsFd::as_fd));
    // The container's streams and the monitor's lock would be held open by this process.
    close::all_but(keep);
    socket::ignore_broken_pipes();
    let _ = rustix::thread::set_name(c"rpod-forward");
    enter(target, parent)?;
    let ports: Vec<_> = listeners.iter().map(|listener| (listener.protocol, listener.container_port)).collect();
    let inside = Inside::new(facts, &ports)?;
    drop_capabilities().context(|| "cannot give up capabilities")?;
    let mut server = Server::new(listeners, inside, channel).context(|| "cannot watch the published ports")?;
    rustix::io::write(channel, READY).context(|| "cannot report to the monitor")?;
    loop {
        server.turn().context(|| "cannot wait for connections")?;
    }
}

fn enter(target: &Target, parent: Pid) -> Result<()> {
    if let Some(user) = &target.user {
        namespace::setns(user.as_fd(), libc::CLONE_NEWUSER)
            .context(|| "cannot enter the container's user namespace")?;
    }
    namespace::setns(target.net.as_fd(), libc::CLONE_NEWNET).context(|| "cannot enter the container's network")?;
    // After the user namespace: entering one clears the signal.
    set_parent_process_death_signal(Some(Signal::KILL)).context(|| "cannot tie the forwarder to its monitor")?;
    if getppid() != Some(parent) {
        return Err(Error::new("the monitor has ended"));
    }
    // Each connection takes two descriptors.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    Ok(())
}

/// What remains is what transparent sockets, marks and routes need, over the container's network only.
fn drop_capabilities() -> Result<(), Errno> {
    let keep = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
    set_no_new_privs(true)?;
    set_capabilities(None, CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() })
}

struct Server<'a> {
    epoll: OwnedFd,
    channel: &'a OwnedFd,
    events: Vec<epoll::Event>,
    listeners: Vec<Listener>,
    /// Listeners that rest because descriptors ran out.
    resting: bool,
    connections: Vec<Slot>,
    free: Vec<usize>,
    /// Connections that have more to move than their turn allowed.
    busy: Vec<(usize, u32)>,
    pipes: Pipes,
    flows: Flows,
    inside: Inside,
}

#[derive(Debug, Default)]
struct Slot {
    /// Tells a connection from its predecessor in the same slot, for events that come late.
    generation: u32,
    connection: Option<Connection>,
}

/// What an event is about, packed into epoll's 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Listener(usize),
    /// The monitor says something.
    Channel,
    Connection(usize, u32, Side),
    Flow(usize),
}

impl Token {
    fn pack(self) -> epoll::EventData {
        let (kind, generation, index) = match self {
            Self::Listener(index) => (0, 0, index),
            Self::Channel => (0, 1, 0),
            Self::Connection(index, generation, Side::Client) => (1, generation, index),
            Self::Connection(index, generation, Side::Server) => (2, generation, index),
            Self::Flow(index) => (3, 0, index),
        };
        epoll::EventData::new_u64(kind << 62 | u64::from(generation & GENERATION) << 32 | index as u64 & 0xffff_ffff)
    }

    fn unpack(data: epoll::EventData) -> Self {
        let data = data.u64();
        let (index, generation) = ((data & 0xffff_ffff) as usize, (data >> 32) as u32 & GENERATION);
        match data >> 62 {
            0 if generation == 0 => Self::Listener(index),
            0 => Self::Channel,
            1 => Self::Connection(index, generation, Side::Client),
            2 => Self::Connection(index, generation, Side::Server),
            _ => Self::Flow(index),
        }
    }
}

const GENERATION: u32 = 0x3fff_ffff;

const EDGES: epoll::EventFlags =
    epoll::EventFlags::IN.union(epoll::EventFlags::OUT).union(epoll::EventFlags::RDHUP).union(epoll::EventFlags::ET);

impl<'a> Server<'a> {
    fn new(listeners: Vec<Listener>, inside: Inside, channel: &'a OwnedFd) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, channel, Token::Channel.pack(), epoll::EventFlags::IN)?;
        for (index, listener) in listeners.iter().enumerate() {
            epoll::add(&epoll, &listener.socket, Token::Listener(index).pack(), epoll::EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            channel,
            events: Vec::with_capacity(256),
            listeners,
            resting: false,
            connections: Vec::new(),
            free: Vec::new(),
            busy: Vec::new(),
            pipes: Pipes::default(),
            flows: Flows::new(),
            inside,
        })
    }

    fn turn(&mut self) -> Result<(), Errno> {
        let timeout = if !self.busy.is_empty() {
            Some(Duration::ZERO)
        } else if self.resting {
            Some(REST)
        } else if !self.flows.is_empty() {
            Some(SWEEP)
        } else {
            None
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
        if self.resting {
            self.rest(false)?;
        }
        for (index, generation) in std::mem::take(&mut self.busy) {
            self.pump(index, generation);
        }
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            self.event(event);
        }
        self.events = events;
        self.flows.tick(&mut self.inside);
        Ok(())
    }

    fn event(&mut self, event: epoll::Event) {
        let flags = event.flags;
        match Token::unpack(event.data) {
            Token::Channel => self.hear(),
            Token::Listener(number) => match self.listeners.get(number).map(|listener| listener.protocol) {
                Some(Protocol::Tcp) => self.accept(number),
                Some(Protocol::Udp) => {
                    let Self { epoll, flows, listeners, inside, .. } = self;
                    if let Some(listener) = listeners.get(number) {
                        flows.receive_requests(number, listener, inside, &mut |socket, flow| {
                            watch_flow(epoll, socket, flow)
                        });
                    }
                }
                None => {}
            },
            Token::Flow(index) => {
                let Self { epoll, flows, listeners, inside, .. } = self;
                flows.receive_answers(index, listeners, inside, &mut |socket, flow| watch_flow(epoll, socket, flow));
            }
            Token::Connection(index, generation, side) => {
                let Some(connection) = self.connection(index, generation) else { return };
                use epoll::EventFlags as E;
                let broken = flags.contains(E::ERR);
                connection.note(side, flags.intersects(E::IN | E::RDHUP | E::HUP), flags.intersects(E::OUT | E::HUP));
                if connection.connecting && side == Side::Server && flags.intersects(E::OUT | E::ERR | E::HUP) {
                    self.connected(index, generation);
                } else if broken {
                    self.end(index, generation, true);
                } else {
                    self.pump(index, generation);
                }
            }
        }
    }

    /// The container has other addresses.
    fn hear(&mut self) {
        let mut buffer = vec![0; PACKET];
        let said = recv(self.channel, &mut buffer[..], RecvFlags::DONTWAIT).map_or(0, |(_, length)| length);
        let addresses = buffer.get(..said).and_then(|said| serde_json::from_slice::<Addresses>(said).ok());
        match addresses {
            Some(addresses) => {
                self.inside.readdress(addresses);
                self.flows.clear(&mut self.inside);
            }
            // The monitor has ended, and this process is about to.
            None => drop(epoll::delete(&self.epoll, self.channel)),
        }
    }

    fn accept(&mut self, number: usize) {
        for _ in 0..ACCEPT_TURN {
            let Some(listener) = self.listeners.get(number) else { return };
            let port = listener.container_port;
            match acceptfrom_with(&listener.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok((client, Some(peer))) => {
                    if let Ok(peer) = SocketAddr::try_from(peer) {
                        self.begin(client, peer, port);
                    }
                }
                Ok((_, None)) | Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    // No descriptors or memory left: let some connections end, instead of being woken for this one for ever.
                    let _ = self.rest(true);
                    return;
                }
            }
        }
    }

    /// Stops or goes on listening.
    fn rest(&mut self, rest: bool) -> Result<(), Errno> {
        self.resting = rest;
        let flags = if rest { epoll::EventFlags::empty() } else { epoll::EventFlags::IN };
        for (index, listener) in self.listeners.iter().enumerate() {
            epoll::modify(&self.epoll, &listener.socket, Token::Listener(index).pack(), flags)?;
        }
        Ok(())
    }

    /// A client came: connects to the service in its name.
    fn begin(&mut self, client: OwnedFd, peer: SocketAddr, port: u16) {
        let mut ways = self.inside.ways(peer, port);
        ways.reverse();
        let _ = sockopt::set_tcp_nodelay(&client, true);
        let _ = sockopt::set_socket_keepalive(&client, true);
        let Some(server) = self.connect(&mut ways) else {
            let _ = sockopt::set_socket_linger(&client, Some(Duration::ZERO));
            return;
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(Slot::default());
            self.connections.len() - 1
        });
        let Some(slot) = self.connections.get_mut(index) else { return };
        slot.generation = slot.generation.wrapping_add(1) & GENERATION;
        let generation = slot.generation;
        let connection = slot.connection.insert(Connection::new(client, server, ways));
        let watched =
            [(&connection.client, Side::Client), (&connection.server, Side::Server)].into_iter().try_for_each(
                |(fd, side)| epoll::add(&self.epoll, fd, Token::Connection(index, generation, side).pack(), EDGES),
            );
        if watched.is_err() {
            self.end(index, generation, true);
        }
    }

    /// Begins to connect by the next way that can be begun.
    fn connect(&self, ways: &mut Vec<super::inside::Way>) -> Option<OwnedFd> {
        while let Some(way) = ways.pop() {
            if let Ok(server) = self.inside.connect(way) {
                return Some(server);
            }
        }
        None
    }

    /// The service answered, or refused.
    fn connected(&mut self, index: usize, generation: u32) {
        let Some(connection) = self.connection(index, generation) else { return };
        match sockopt::socket_error(&connection.server) {
            Ok(Ok(())) => {
                connection.connecting = false;
                return self.pump(index, generation);
            }
            // Nobody listens on this protocol version.
            Ok(Err(Errno::CONNREFUSED)) => {}
            // Accepted and reset at once, or no answer.
            _ => return self.end(index, generation, true),
        }
        let mut ways = std::mem::take(&mut connection.ways);
        let next = self.connect(&mut ways);
        let epoll = self.epoll.as_fd();
        let Some(slot) = self.connections.get_mut(index) else { return };
        let (Some(connection), Some(server)) = (slot.connection.as_mut(), next) else {
            return self.end(index, generation, true);
        };
        let token = Token::Connection(index, generation, Side::Server).pack();
        let watched = epoll::add(epoll, &server, token, EDGES);
        (connection.server, connection.ways) = (server, ways);
        if watched.is_err() {
            self.end(index, generation, true);
        }
    }

    fn pump(&mut self, index: usize, generation: u32) {
        let Self { connections, pipes, .. } = self;
        let Some(connection) = find(connections, index, generation).filter(|c| !c.connecting) else { return };
        match connection.pump(pipes) {
            Progress::Waiting => {}
            Progress::More => self.busy.push((index, generation)),
            Progress::Finished => self.end(index, generation, false),
            Progress::Broken => self.end(index, generation, true),
        }
    }

    fn end(&mut self, index: usize, generation: u32, broken: bool) {
        let slot = self.connections.get_mut(index).filter(|slot| slot.generation == generation);
        if let Some(connection) = slot.and_then(|slot| slot.connection.take()) {
            self.free.push(index);
            if broken {
                connection.reset();
            }
        }
    }

    fn connection(&mut self, index: usize, generation: u32) -> Option<&mut Connection> {
        find(&mut self.connections, index, generation)
    }
}

fn find(connections: &mut [Slot], index: usize, generation: u32) -> Option<&mut Connection> {
    let slot = connections.get_mut(index).filter(|slot| slot.generation == generation)?;
    slot.connection.as_mut()
}

fn watch_flow(epoll: &OwnedFd, socket: &OwnedFd, flow: usize) -> Result<(), Errno> {
    epoll::add(epoll, socket, Token::Flow(flow).pack(), epoll::EventFlags::IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        for token in [
            Token::Listener(0),
            Token::Listener(131_069),
            Token::Channel,
            Token::Connection(7, GENERATION, Side::Client),
            Token::Connection(0xffff_fffe, 1, Side::Server),
            Token::Flow(8191),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
