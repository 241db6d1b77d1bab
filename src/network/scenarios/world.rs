//! The host and the container of a scenario.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::UnshareFlags;

use crate::network::helper::{Prepared, Running, Target};
use crate::runtime::netdev::{self, Setup};
use crate::sys::process::{Child, Fork, exit_now, fork};
use crate::sys::{namespace, netlink, tun};

/// Addresses of the host: its own, and two that play foreign clients.
pub(super) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
pub(super) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
pub(super) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
pub(super) const HOST6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
pub(super) const CLIENT6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));

pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Moves this process into a host of its own.
pub(super) fn host() {
    own_namespaces(UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWNS);
    netdev::configure(&Setup::new(None)).expect("loopback");
    // Kept open: without a carrier, pasta would have to copy routes that are down.
    std::mem::forget(tun::attach_tap(c"up0").expect("tap"));
    let socket = netlink::socket().expect("netlink");
    let index = tun::interface_index(&socket, c"up0").expect("index");
    let mut batch = netlink::Batch::default();
    for ip in [CLIENT, SERVER, CLIENT6] {
        batch.address("address", netlink::LOOPBACK, ip, if ip.is_ipv4() { 32 } else { 128 });
    }
    batch.up("up", netlink::Index::Late, None, false);
    batch.address("address", netlink::Index::Late, HOST, 24);
    batch.address("address", netlink::Index::Late, HOST6, 64);
    batch.default_route("route", netlink::Index::Late, Ipv4Addr::new(203, 0, 113, 254).into());
    batch.default_route("route", netlink::Index::Late, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe).into());
    batch.apply(&socket, index).expect("host network");
    // The kernel adds the local route of an IPv6 address a little later, from a work queue.
    std::thread::sleep(Duration::from_millis(100));
}

/// The host's resolver is on loopback and answers every question with 192.0.2.77 (in a process of its own).
pub(super) fn resolver() {
    let path = format!("/tmp/rpod-test-resolv-{}", std::process::id());
    std::fs::write(&path, "nameserver 127.0.0.53\n").expect("resolv.conf");
    rustix::mount::mount_change(
        "/",
        rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC,
    )
    .expect("private");
    rustix::mount::mount_bind(&path, "/etc/resolv.conf").expect("bind");
    std::fs::remove_file(&path).expect("remove");
    let socket = UdpSocket::bind("127.0.0.53:53").expect("port 53");
    if let Fork::Child = fork().expect("fork") {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).expect("tie");
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let mut answer = buffer[..length].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[6..8].copy_from_slice(&[0, 1]);
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 77]);
            let _ = socket.send_to(&answer, from);
        }
        exit_now(0);
    }
}

/// Whether a name server at `address` answers as [`resolver`] does.
pub(super) fn resolves(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).expect("socket");
    socket.set_read_timeout(Some(Duration::from_secs(3))).expect("timeout");
    let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01";
    socket.send_to(question, (address, 53)).expect("send");
    let mut answer = [0; 512];
    socket.recv_from(&mut answer).is_ok_and(|(length, _)| answer[..length].ends_with(&[192, 0, 2, 77]))
}

fn own_namespaces(flags: UnshareFlags) {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    namespace::unshare(flags).expect("namespaces");
    std::fs::write("/proc/self/setgroups", "deny").expect("setgroups");
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).expect("uid map");
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).expect("gid map");
}

/// A forked process in namespaces of its own that plays the container.
pub(super) struct Container {
    child: Option<Child>,
    pub pid: Pid,
    /// Lets the container's part run.
    go: OwnedFd,
    /// What it reports.
    said: OwnedFd,
    pub link: Option<OwnedFd>,
}

/// Makes a container with `setup`; `part` runs in it once [`Container::go`] is called, and its answer is reported.
pub(super) fn container(setup: Option<&Setup>, part: impl FnOnce(&mut dyn FnMut(&str)) -> String) -> Container {
    let (go_read, go) = rustix::pipe::pipe().expect("pipe");
    let (said, mut say) = rustix::pipe::pipe().map(|(r, w)| (r, std::fs::File::from(w))).expect("pipe");
    match fork().expect("fork") {
        Fork::Child => {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).expect("tie");
            drop((go, said));
            own_namespaces(UnshareFlags::NEWUSER | UnshareFlags::NEWNET);
            let link = setup.map(|setup| netdev::configure(setup).expect("netdev"));
            let number = link.as_ref().map_or(-1, AsRawFd::as_raw_fd);
            say.write_all(&number.to_ne_bytes()).expect("say");
            let mut byte = [0];
            if rustix::io::read(&go_read, &mut byte) == Ok(1) {
                drop(link);
                let answer = part(&mut |text| say.write_all(text.as_bytes()).expect("say"));
                say.write_all(answer.as_bytes()).expect("say");
                drop(say);
                std::thread::sleep(Duration::from_secs(60));
            }
            exit_now(0)
        }
        Fork::Parent(child) => {
            drop((go_read, say));
            let mut number = [0; 4];
            rustix::io::read(&said, &mut number).expect("number");
            let number = i32::from_ne_bytes(number);
            let link = (number >= 0).then(|| {
                let flags = rustix::process::PidfdGetfdFlags::empty();
                rustix::process::pidfd_getfd(&child.pidfd, number, flags).expect("link")
            });
            Container { pid: child.pid, child: Some(child), go, said, link }
        }
    }
}

impl Container {
    /// Lets the container's part begin.
    pub(super) fn go(&self) {
        rustix::io::write(&self.go, b"g").expect("go");
    }

    /// What the container's part says, up to `length` bytes or its end.
    pub(super) fn hear(&self, length: usize) -> String {
        let mut text = vec![0; length];
        let read = rustix::io::read(&self.said, &mut text[..]).expect("hear");
        String::from_utf8_lossy(&text[..read]).into_owned()
    }

    pub(super) fn hear_all(&self) -> String {
        let mut text = String::new();
        let file = self.said.try_clone().expect("clone");
        std::fs::File::from(file).read_to_string(&mut text).expect("hear");
        text
    }

    /// Goes through the helper's stages.
    pub(super) fn connect(&mut self, mut prepared: Prepared) -> crate::error::Result<Running> {
        prepared.cloned(self.link.take())?;
        prepared.mapped(self.pid, None)?;
        prepared.ready()
    }

    pub(super) fn target(&self) -> Target {
        let open = |kind| {
            let file = std::fs::File::open(format!("/proc/{}/ns/{kind}", self.pid.as_raw_nonzero()));
            file.expect("namespace").into()
        };
        Target { user: Some(open("user")), net: open("net") }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = kill_process(self.pid, Signal::KILL);
        if let Some(child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

/// A connection from one of the host's addresses.
pub(super) fn connect_from(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Whether a process is still there.
pub(super) fn alive(pid: i32) -> bool {
    // A zombie has no executable any more.
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}
