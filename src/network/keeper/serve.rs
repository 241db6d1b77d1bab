//! The netkeeper's loop: requests of commands and monitors, ends of connections, name service, the uplink's end.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::door::Door;
use super::members::Members;
use super::order::Join;
use super::protocol::{self, Answer, Changed, LIMIT, Look, Request};
use crate::error::{Context, Error, Result};
use crate::network::dns::Server;
use crate::network::dns::zone::Zone;
use crate::network::helper;
use crate::userns::IdMaps;

/// How long it waits for its first container.
const FIRST: Duration = Duration::from_secs(10);

/// What stands for the door among the numbers of connections.
const DOOR: u64 = u64::MAX;

/// Connections at once; each container has one.
const CONNECTIONS: usize = 4096;

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    /// The container that this connection stands for.
    container: Option<(String, u64)>,
}

/// Everything the loop works on.
pub(super) struct Keeper {
    pub listener: OwnedFd,
    /// The user namespace that containers are made in, and its ids.
    pub user: OwnedFd,
    pub maps: IdMaps,
    pub members: Members,
    pub names: Server,
    pub uplink: helper::Running,
    connections: BTreeMap<usize, Connection>,
    /// Readable when one of them is: there may be hundreds, and questions about names are many more than requests.
    readable: OwnedFd,
    events: Vec<epoll::Event>,
    next: usize,
    zone: Zone,
    born: Instant,
    /// There was a container.
    used: bool,
    /// The socket may have been removed.
    look_for_door: bool,
}

impl Keeper {
    pub(super) fn new(
        listener: OwnedFd,
        user: OwnedFd,
        maps: IdMaps,
        members: Members,
        names: Server,
        uplink: helper::Running,
    ) -> Result<Self> {
        let readable = epoll::create(epoll::CreateFlags::CLOEXEC).context(|| "cannot watch connections")?;
        Ok(Self {
            listener,
            user,
            maps,
            members,
            names,
            uplink,
            connections: BTreeMap::new(),
            readable,
            events: Vec::with_capacity(64),
            next: 0,
            zone: Zone::default(),
            born: Instant::now(),
            used: false,
            look_for_door: false,
        })
    }

    /// Works until the last container has gone, or the uplink, or the door.
    pub(super) fn run(&mut self, door: &Door) -> Result<()> {
        let mut buffer = vec![0; LIMIT];
        if let Some(watch) = door.descriptor() {
            let data = epoll::EventData::new_u64(DOOR);
            epoll::add(&self.readable, watch, data, epoll::EventFlags::IN).context(|| "cannot watch the socket")?;
        }
        loop {
            if self.is_done() || (std::mem::take(&mut self.look_for_door) && !door.is_there()) {
                return Ok(());
            }
            let (listener, names, requests, overlays, refused) = {
                let mut fds = Vec::with_capacity(6);
                fds.push(PollFd::new(&self.listener, PollFlags::IN));
                fds.push(PollFd::new(&self.readable, PollFlags::IN));
                fds.push(PollFd::from_borrowed_fd(self.names.descriptor(), PollFlags::IN));
                let uplink = self.uplink.pidfd();
                let (overlays, guard) = (self.members.overlays.descriptor(), self.members.guard.descriptor());
                for fd in [uplink, overlays, guard].into_iter().flatten() {
                    fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
                }
                let (heard, carried) = (fds.len() - 1, fds.len() - 1 - usize::from(guard.is_some()));
                let timeout = self.timeout().and_then(|time| Timespec::try_from(time).ok());
                match poll(&mut fds, timeout.as_ref()) {
                    Err(Errno::INTR) => continue,
                    result => result.context(|| "cannot wait for requests")?,
                };
                if uplink.is_some() && fds.get(3).is_some_and(|fd| !fd.revents().is_empty()) {
                    // Only from the host's namespace could another one be started: a new netkeeper does.
                    return Err(Error::new("the network helper has ended"));
                }
                let is = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
                (is(0), is(2), is(1), overlays.is_some() && is(carried), guard.is_some() && is(heard))
            };
            if requests {
                self.requests(&mut buffer);
            }
            if listener {
                self.accept();
            }
            if refused {
                self.members.guard.hear();
            }
            let now = Instant::now();
            if self.members.guard.deadline().is_some_and(|deadline| deadline <= now) {
                self.members.guard.expire();
            }
            let due = self.members.overlays.deadline().is_some_and(|deadline| deadline <= now);
            if (overlays || due) && self.members.overlays.turn() {
                self.zone = self.members.zone(self.names.host_address());
            }
            let due = self.names.deadline().is_some_and(|deadline| deadline <= now);
            if names || due {
                self.names.turn(&self.zone, &mut self.members.guard).context(|| "cannot serve names")?;
            }
        }
    }

    fn is_done(&self) -> bool {
        self.members.is_empty() && (self.used || self.born.elapsed() >= FIRST)
    }

    fn timeout(&self) -> Option<Duration> {
        let first = (!self.used).then(|| self.born + FIRST);
        let Members { overlays, guard, .. } = &self.members;
        let deadlines = [first, self.names.deadline(), overlays.deadline(), guard.deadline()];
        let deadline = deadlines.into_iter().flatten().min()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    fn accept(&mut self) {
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            let data = epoll::EventData::new_u64(self.next as u64);
            if self.connections.len() < CONNECTIONS
                && epoll::add(&self.readable, &socket, data, epoll::EventFlags::IN).is_ok()
            {
                self.connections.insert(self.next, Connection { socket, container: None });
                self.next = self.next.wrapping_add(1);
            }
        }
    }

    fn requests(&mut self, buffer: &mut [u8]) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Nothing comes of an error but another turn.
        let _ = epoll::wait(&self.readable, spare_capacity(&mut self.events), Some(&now));
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event.data.u64() {
                DOOR => self.look_for_door = true,
                number => self.request(number as usize, buffer),
            }
        }
        self.events = events;
    }

    /// One request, or the end of a connection.
    fn request(&mut self, number: usize, buffer: &mut [u8]) {
        let Some(connection) = self.connections.get(&number) else { return };
        let request = match protocol::receive::<Request>(&connection.socket, buffer) {
            Ok(Some(request)) => request,
            Ok(None) | Err(_) => return self.end(number),
        };
        let answer = self.answer(number, request);
        if answer.is_err() {
            // What it began for a container that does not come; it is not waited for either.
            self.used = true;
            self.changed();
        }
        let Some(connection) = self.connections.get(&number) else { return };
        let (answer, fd) = answer.unwrap_or_else(|error| (Answer::refused(&error), None));
        let fd = match fd {
            Some(Descriptor::User) => Some(self.user.as_fd()),
            Some(Descriptor::Network) => Some(self.members.wires.namespace().as_fd()),
            None => None,
        };
        if protocol::send(&connection.socket, &answer, fd).is_err() {
            self.end(number);
        }
    }

    fn answer(&mut self, number: usize, request: (Request, Option<OwnedFd>)) -> Result<(Answer, Option<Descriptor>)> {
        let connection =
            self.connections.get_mut(&number).ok_or_else(|| Error::new("the connection has ended meanwhile"))?;
        let done = match request {
            (Request::Reserve(order), _) => {
                if connection.container.is_some() {
                    return Err(Error::new("a connection stands for one container only"));
                }
                let (order, generation) = self.members.reserve(order, self.names.host_address())?;
                connection.container = Some((order.container.clone(), generation));
                self.used = true;
                let linkers = self.members.linkers(&order.container);
                let answer = Answer::Reserved { order: Box::new(order), maps: self.maps.clone(), linkers };
                // Its names are known before its program runs: it is in nobody's way earlier.
                (answer, Some(Descriptor::User))
            }
            (Request::Wire, Some(namespace)) => {
                let (container, _) =
                    connection.container.as_ref().ok_or_else(|| Error::new("no container was named before"))?;
                self.members.wire(container, namespace)?;
                // Names and addresses are what they were.
                self.names.follow(&self.members.wires.bridges());
                return Ok((Answer::Wired, Some(Descriptor::Network)));
            }
            (Request::Wire, None) => return Err(Error::new("the network namespace is missing")),
            (Request::Connect { container, join }, _) => {
                let joins = self.members.connect(&container, *join, self.names.host_address())?;
                (self.are_now(&container, joins), None)
            }
            (Request::Rename { container, name }, _) => {
                self.members.rename(&container, &name);
                (Answer::Done, None)
            }
            (Request::Servers { network, servers }, _) => {
                self.members.set_servers(&network, &servers);
                (Answer::Done, None)
            }
            (Request::Look { network }, _) => {
                let Members { overlays, guard, .. } = &self.members;
                let look = Look { peers: overlays.states(&network), refused: guard.refused(&network) };
                return Ok((Answer::Look(Box::new(look)), None));
            }
            (Request::Reload { container }, _) => {
                let joins = self.members.reload(&container)?;
                (self.are_now(&container, joins), None)
            }
            (Request::Disconnect { container, network }, _) => {
                let joins = self.members.disconnect(&container, &network)?;
                (self.are_now(&container, joins), None)
            }
        };
        self.changed();
        Ok(done)
    }

    fn are_now(&self, container: &str, joins: Vec<Join>) -> Answer {
        Answer::Changed(Changed { joins, linkers: self.members.linkers(container) })
    }

    fn end(&mut self, number: usize) {
        let Some(connection) = self.connections.remove(&number) else { return };
        // Closing is not enough while a process that takes a cable away has a copy.
        let _ = epoll::delete(&self.readable, &connection.socket);
        if let Some((container, generation)) = connection.container
            && self.members.leave(&container, generation)
        {
            self.changed();
        }
    }

    /// Names or addresses are other ones now.
    fn changed(&mut self) {
        self.members.settle();
        self.names.follow(&self.members.wires.bridges());
        self.zone = self.members.zone(self.names.host_address());
    }
}

/// Which descriptor goes with an answer.
enum Descriptor {
    User,
    Network,
}
