//! The other side: commands and monitors that need a netkeeper.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode as FileMode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::order::{Join, Order};
use super::protocol::{self, Answer, Changed, Look, Request};
use super::refusals;
use super::spawn;
use crate::error::{Context, Error, Result};
use crate::state::lock::{Lock, Mode};
use crate::state::paths::create_private;
use crate::sys::namespace;
use crate::userns::IdMaps;

/// How long a request may take: a netkeeper that starts hundreds of containers is busy, not dead.
const PATIENCE: Duration = Duration::from_secs(20);

/// A netkeeper may end, its last container gone, just as somebody comes: how often that is tried again.
const TRIES: usize = 16;

/// A container's connection. It ends the container's place on its networks when it is closed by its last holder.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    pub order: Order,
    /// The user namespace in which the container's own is to be made, and its ids.
    pub user: OwnedFd,
    pub maps: IdMaps,
    /// The running containers that have a link to this one.
    pub linkers: Vec<String>,
    runtime: PathBuf,
}

/// A user namespace that containers cut off from a killed netkeeper are in, if there are any.
pub(crate) type Survivors<'a> = dyn Fn() -> Option<OwnedFd> + 'a;

/// Finds addresses for a container, through the netkeeper or a new one. For a process with one thread.
pub(crate) fn reserve(runtime: &Path, order: &Order, survivors: &Survivors<'_>) -> Result<Link> {
    for _ in 0..TRIES {
        let socket = connect(runtime, survivors)?;
        if protocol::send(&socket, &Request::Reserve(order.clone()), None).is_err() {
            continue;
        }
        match answer(&socket)? {
            None => {}
            Some((Answer::Reserved { order, maps, linkers }, Some(user))) => {
                return Ok(Link { socket, order: *order, user, maps, linkers, runtime: runtime.to_path_buf() });
            }
            Some(other) => return Err(unexpected(other.0)),
        }
    }
    Err(Error::new("the netkeeper ends again and again"))
}

/// Asks a netkeeper that is there to change a running container's networks.
fn change(runtime: &Path, request: &Request) -> Result<Changed> {
    let gone = || {
        Error::new("the netkeeper has ended: the container is cut off from its networks")
            .hint("it is rebuilt in a moment; else restart the container")
    };
    let socket = open(&super::directory(runtime)).map_err(|_| gone())?;
    protocol::send(&socket, request, None)?;
    match answer(&socket)? {
        None => Err(gone()),
        Some((Answer::Changed(changed), _)) => Ok(changed),
        Some(other) => Err(unexpected(other.0)),
    }
}

/// Tells a netkeeper, if there is one, what is of no matter to others.
fn tell(runtime: &Path, request: &Request) -> Result<()> {
    let Ok(socket) = open(&super::directory(runtime)) else { return Ok(()) };
    protocol::send(&socket, request, None)?;
    match answer(&socket)? {
        None | Some((Answer::Done, _)) => Ok(()),
        Some(other) => Err(unexpected(other.0)),
    }
}

/// What a netkeeper sees of a network; nothing when there is none.
pub(crate) fn look(runtime: &Path, network: &str) -> Result<Look> {
    let directory = super::directory(runtime);
    let earlier = || Look { refused: refusals::of(&directory, network), ..Look::default() };
    let Ok(socket) = open(&directory) else { return Ok(earlier()) };
    protocol::send(&socket, &Request::Look { network: network.to_owned() }, None)?;
    match answer(&socket)? {
        None => Ok(earlier()),
        Some((Answer::Look(look), _)) => Ok(*look),
        Some(other) => Err(unexpected(other.0)),
    }
}

/// A container has another name from now on.
pub(crate) fn rename_container(runtime: &Path, container: &str, name: &str) -> Result<()> {
    tell(runtime, &Request::Rename { container: container.to_owned(), name: name.to_owned() })
}

/// A network asks other name servers from now on.
pub(crate) fn set_servers(runtime: &Path, network: &str, servers: &[IpAddr]) -> Result<()> {
    tell(runtime, &Request::Servers { network: network.to_owned(), servers: servers.to_vec() })
}

/// Connects a running container to one more network; its networks from now on.
pub(crate) fn connect_container(runtime: &Path, container: &str, join: Join) -> Result<Changed> {
    change(runtime, &Request::Connect { container: container.to_owned(), join: Box::new(join) })
}

/// Connects a running container anew; its networks.
pub(crate) fn reload_container(runtime: &Path, container: &str) -> Result<Changed> {
    change(runtime, &Request::Reload { container: container.to_owned() })
}

/// Takes a running container off a network; its networks from now on.
pub(crate) fn disconnect_container(runtime: &Path, container: &str, network: &str) -> Result<Changed> {
    change(runtime, &Request::Disconnect { container: container.to_owned(), network: network.to_owned() })
}

impl Link {
    /// Has the container's network namespace connected; [`Link::wired`] waits for it.
    pub(crate) fn wire(&self, namespace: &OwnedFd) -> Result<()> {
        protocol::send(&self.socket, &Request::Wire, Some(namespace.as_fd()))
    }

    /// Answers the namespace that the bridges are in.
    pub(crate) fn wired(&self) -> Result<OwnedFd> {
        match answer(&self.socket)? {
            Some((Answer::Wired, Some(network))) => Ok(network),
            Some(other) => Err(unexpected(other.0)),
            None => Err(Error::new("the netkeeper ended while the container was being connected")),
        }
    }

    /// The same container's connection to the next netkeeper, with the addresses it has. `user`: the container's namespace.
    pub(crate) fn again(&self, user: Option<&OwnedFd>) -> Result<Self> {
        // Commands note there what they change while the container runs.
        let kept = Order::load(&self.runtime.join("containers").join(&self.order.container))?;
        let order = kept.unwrap_or_else(|| self.order.clone());
        reserve(&self.runtime, &order, &|| user.and_then(|user| namespace::parent(user.as_fd()).ok()))
    }

    /// The user's runtime directory is another one, or has been emptied: what commands note there begins with what the
    /// container had at its start.
    pub(crate) fn moved(&mut self, runtime: &Path) -> Result<()> {
        self.runtime = runtime.to_path_buf();
        let dir = self.runtime.join("containers").join(&self.order.container);
        match Order::load(&dir)? {
            Some(_) => Ok(()),
            None => self.order.store(&dir),
        }
    }

    /// Hung up when the netkeeper has ended.
    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.socket
    }
}

/// A connection to the netkeeper, which is started when there is none.
fn connect(runtime: &Path, survivors: &Survivors<'_>) -> Result<OwnedFd> {
    let dir = super::directory(runtime);
    if let Ok(socket) = open(&dir) {
        return Ok(socket);
    }
    create_private(&dir)?;
    let lock = Lock::acquire(&dir.join("lock"), Mode::Exclusive)?;
    // Somebody else may have started one meanwhile.
    if let Ok(socket) = open(&dir) {
        return Ok(socket);
    }
    spawn::spawn(runtime, survivors().as_ref())?;
    let socket = open(&dir).context(|| "cannot reach the netkeeper");
    drop(lock);
    socket
}

fn open(dir: &Path) -> Result<OwnedFd, Errno> {
    let (_dir, address) = address(dir)?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

/// A socket's address is short (108 bytes), the directory's name may not be: it is reached through a descriptor.
pub(super) fn address(dir: &Path) -> Result<(OwnedFd, SocketAddrUnix), Errno> {
    let dir = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, FileMode::empty())?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), super::SOCKET))?;
    Ok((dir, address))
}

/// `None` when the netkeeper has ended.
fn answer(socket: &OwnedFd) -> Result<Option<(Answer, Option<OwnedFd>)>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(socket, PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
            Ok(0) => return Err(Error::new("the netkeeper does not answer")),
            Err(Errno::INTR) => {}
            result => {
                result.context(|| "cannot wait for the netkeeper")?;
                return protocol::receive(socket, &mut vec![0; protocol::LIMIT]);
            }
        }
    }
}

fn unexpected(answer: Answer) -> Error {
    match answer {
        Answer::Refused { what, hints, conflict } => protocol::error(what, hints, conflict),
        _ => Error::new("the netkeeper answered something else than was asked"),
    }
}
