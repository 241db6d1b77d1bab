//! From a command or a monitor to a netkeeper at work.
//!
//! ```text
//! starter (holds keeper/lock)          netkeeper (child of a child: nobody's to wait for)
//! listens at keeper/socket ───────────▶ sockets for the host's resolvers
//!                                       unshare(user), or enters that of containers that were cut off
//!        ◀── pid ──
//! newuidmap ∥ newgidmap ── mapped ────▶ a child of its own makes the network namespace with the uplink's device
//!                                       starts the uplink, from the host's network; enters the namespace
//!        ◀── "+", or what failed ──     serves until the last container has gone
//! ```

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode as FileMode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::Pid;
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags, set_capabilities, set_no_new_privs};

use super::door::Door;
use super::members::Members;
use super::order;
use super::refusals;
use super::serve::Keeper;
use super::wires::Wires;
use crate::error::{Context, Error, Result};
use crate::network::dns::{Server, Sockets};
use crate::network::helper::{self, Prepared, Target};
use crate::network::mode::Mode;
use crate::network::overlay;
use crate::runtime::netdev;
use crate::sys::process::{Fork, exit_now, fork};
use crate::sys::{close, memory, message, namespace, socket};
use crate::userns::{IdMaps, mapping};

const READY: &[u8] = b"+";

/// Starts a netkeeper and waits until it serves. `user` is the namespace of containers that another one left behind.
/// For a process with one thread, which holds the lock.
pub(super) fn spawn(runtime: &Path, user: Option<&OwnedFd>) -> Result<()> {
    let what = || "cannot start the netkeeper";
    let uplink = helper::prepare(&Mode::Private)?;
    let maps = IdMaps::for_user()?;
    let (door, listener) = Door::open(&super::directory(runtime)).context(what)?;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).context(what)?;
    let held = held(runtime);
    match fork().context(what)? {
        Fork::Child => {
            drop(ours);
            // The parent waits for this one alone; the netkeeper belongs to nobody.
            if let Ok(Fork::Child) = fork() {
                become_keeper(listener, theirs, uplink, maps, user, held, door);
            }
            exit_now(0)
        }
        Fork::Parent(child) => {
            drop((theirs, listener));
            child.wait().context(what)?;
        }
    }
    introduce(ours, &maps, user.is_some()).inspect_err(|_| {
        // Nobody listens there any more.
        door.close();
    })
}

/// The starter's side: maps the ids, waits until the netkeeper serves.
fn introduce(channel: OwnedFd, maps: &IdMaps, mapped: bool) -> Result<()> {
    let what = || "cannot start the netkeeper";
    let mut channel = File::from(channel);
    let mut pid = [0; 4];
    if channel.read_exact(&mut pid).is_ok() && !mapped {
        let pid = Pid::from_raw(i32::from_ne_bytes(pid)).ok_or_else(|| Error::new(what()))?;
        mapping::start(pid, maps)?.finish()?;
        channel.write_all(READY).context(what)?;
    }
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    while said != READY {
        match channel.read(&mut buffer).context(what)? {
            0 if said.is_empty() => return Err(Error::new("the netkeeper ended without saying why")),
            0 => {
                let failure = serde_json::from_slice::<crate::userns::enter::Failure>(&said);
                return Err(Error::from(failure.context(what)?));
            }
            length => said.extend_from_slice(buffer.get(..length).unwrap_or_default()),
        }
    }
    Ok(())
}

/// Addresses that containers have according to what is kept beside them: those cut off from a killed netkeeper come back
/// for them.
fn held(runtime: &Path) -> HashSet<(String, IpAddr)> {
    let mut held = HashSet::new();
    let Ok(entries) = std::fs::read_dir(runtime.join("containers")) else { return held };
    for entry in entries.flatten() {
        // Files that cannot be read hold nothing.
        let Ok(Some(order)) = order::Order::load(&entry.path()) else { continue };
        for join in &order.joins {
            held.extend(join.addresses().iter().map(|address| (join.network.network_interface.clone(), address.ip)));
        }
    }
    held
}

/// The netkeeper's whole life.
fn become_keeper(
    listener: OwnedFd,
    channel: OwnedFd,
    uplink: Prepared,
    maps: IdMaps,
    user: Option<&OwnedFd>,
    held: HashSet<(String, IpAddr)>,
    door: Door,
) -> ! {
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let _ = rustix::thread::set_name(c"rpod-netkeeper");
    if let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR, FileMode::empty()) {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
    let mut keep = vec![listener.as_fd(), channel.as_fd()];
    keep.extend(user.map(AsFd::as_fd));
    keep.extend(door.descriptor());
    // A container's lock or the caller's pipe would be held open by this process.
    close::all_but(keep);
    socket::ignore_broken_pipes();
    let mut channel = File::from(channel);
    let work = || match prepare(&mut channel, listener, uplink, maps, user, held) {
        Ok(mut keeper) => {
            keeper.members.guard.remember(refusals::load(door.directory()));
            let told = channel.write_all(READY);
            drop(channel);
            memory::trim();
            if told.is_ok() {
                // An error ends it as the last container does; whoever is connected notices.
                let _ = keeper.run(&door);
            }
            // Nobody is left to be told that it could not be kept.
            let _ = refusals::store(door.directory(), &keeper.members.guard.remembered());
            door.close();
        }
        Err(error) => {
            let failure = serde_json::to_vec(&crate::userns::enter::Failure::from(&error)).unwrap_or_default();
            let _ = channel.write_all(&failure);
        }
    };
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    exit_now(0)
}

fn prepare(
    channel: &mut File,
    listener: OwnedFd,
    mut uplink: Prepared,
    maps: IdMaps,
    user: Option<&OwnedFd>,
    held: HashSet<(String, IpAddr)>,
) -> Result<Keeper> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    // With fewer descriptors fewer containers can be served.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    let sockets = Sockets::new().context(|| "cannot make sockets for name service")?;
    let overlay = overlay::Sockets::new().context(|| "cannot make sockets for overlay networks")?;
    enter(channel, user)?;
    let open = |path: &str| {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, FileMode::empty())
            .context(|| format!("cannot open {path}"))
    };
    let own_user = open("/proc/self/ns/user")?;
    let (network, link) = make_network(uplink.netdev())?;
    let target = Target { user: None, net: network.try_clone().context(|| "cannot keep the network namespace")? };
    uplink.place(target, link);
    uplink.mapped(rustix::process::getpid(), None)?;
    namespace::setns(network.as_fd(), libc::CLONE_NEWNET).context(|| "cannot enter the network namespace")?;
    let names = Server::new(sockets).context(|| "cannot serve names")?;
    let uplink = uplink.ready()?;
    let wires = Wires::new(network)?;
    let members = Members::new(wires, overlay::Overlays::new(overlay), held);
    drop_capabilities().context(|| "cannot give up capabilities")?;
    Keeper::new(listener, own_user, maps, members, names, uplink)
}

/// Into the user namespace, as its root.
fn enter(channel: &mut File, user: Option<&OwnedFd>) -> Result<()> {
    let what = || "cannot enter the netkeeper's user namespace";
    match user {
        Some(user) => namespace::setns(user.as_fd(), libc::CLONE_NEWUSER).context(what)?,
        None => namespace::unshare(UnshareFlags::NEWUSER).map_err(crate::userns::enter::refused)?,
    }
    channel.write_all(&rustix::process::getpid().as_raw_nonzero().get().to_ne_bytes()).context(what)?;
    if user.is_none() {
        channel.read_exact(&mut [0]).map_err(|e| Error::wrap(what(), e))?;
    }
    Ok(())
}

/// A network namespace, made and configured by a child: this process has to stay on the host's network until the uplink,
/// which works from there, has been started. Answers what [`netdev::configure`] answered too.
fn make_network(setup: Option<&netdev::Setup>) -> Result<(OwnedFd, Option<OwnedFd>)> {
    let what = || "cannot make a network namespace";
    let (ours, theirs) = message::pair().context(what)?;
    match fork().context(what)? {
        Fork::Child => {
            drop(ours);
            exit_now(make_and_send(setup, &theirs))
        }
        Fork::Parent(child) => {
            drop(theirs);
            let mut buffer = [0; 256];
            let (length, network) = message::receive(&ours, &mut buffer).context(what)?;
            let said = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
            let link = match network {
                Some(_) => message::receive(&ours, &mut buffer).context(what)?.1,
                None => None,
            };
            child.wait().context(what)?;
            match network {
                Some(network) => Ok((network, link)),
                None => Err(Error::new(format!("{}: {said}", what()))),
            }
        }
    }
}

fn make_and_send(setup: Option<&netdev::Setup>, channel: &OwnedFd) -> u8 {
    let made = namespace::unshare(UnshareFlags::NEWNET).map_err(|e| ("unshare", e)).and_then(|()| {
        let link = setup.map(netdev::configure).transpose()?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let own = rustix::fs::open("/proc/self/ns/net", flags, FileMode::empty()).map_err(|e| ("open it", e))?;
        Ok((own, link))
    });
    let sent = match &made {
        Ok((network, link)) => message::send(channel, b"+", Some(network.as_fd()))
            .and_then(|()| message::send(channel, b"+", link.as_ref().map(AsFd::as_fd))),
        Err((step, errno)) => message::send(channel, format!("cannot {step}: {errno}").as_bytes(), None),
    };
    u8::from(sent.is_err())
}

/// What remains is what cables, namespaces of containers, and the name server's port need.
fn drop_capabilities() -> Result<(), rustix::io::Errno> {
    let keep = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
    set_no_new_privs(true)?;
    set_capabilities(None, CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() })
}
