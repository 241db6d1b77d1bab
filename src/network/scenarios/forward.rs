//! The port forwarder: who the client is, and everything that can happen to a connection.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::world::{CLIENT, CLIENT6, Container, HOST, HOST6, PATIENCE, connect_from, container, host};
use crate::network::forward::Forwarder;
use crate::network::forward::listen::listen;
use crate::network::helper::Facts;
use crate::network::ports;
use crate::runtime::netdev::{Setup, Tap};
use crate::runtime::scenarios::Scenario;
use crate::sys::scenario::check;

pub(super) const ALL: &[Scenario] = &[
    ("tcp clients", tcp_clients),
    ("tcp endings", tcp_endings),
    ("tcp bulk", tcp_bulk),
    ("tcp many", tcp_many),
    ("udp", udp),
    ("ports taken", ports_taken),
    ("forwarder ends", forwarder_ends),
];

const CONTAINER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 100));
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2));
const CONTAINER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100));
const GATEWAY6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));

/// A container with slirp4netns' addresses; nobody needs to be behind the tap device.
fn world(part: impl FnOnce(&mut dyn FnMut(&str)) -> String) -> (Container, Facts) {
    let tap = Tap {
        name: c"tap0".to_owned(),
        mtu: 65520,
        addresses: vec![(CONTAINER, 24), (CONTAINER6, 64)],
        gateways: vec![GATEWAY, GATEWAY6],
    };
    let container = container(Some(&Setup::new(Some(tap))), part);
    let facts = Facts { container: vec![CONTAINER, CONTAINER6], gateways: vec![GATEWAY, GATEWAY6], ..Facts::default() };
    (container, facts)
}

/// Publishes, waits until the container's part says `.`, and returns the host ports.
fn publish(container: &Container, facts: &Facts, values: &[&str]) -> (Forwarder, Vec<u16>) {
    let listeners = listen(&ports::parse_all(values).expect("ports"), &[]).expect("listen");
    let host_ports = listeners.mappings.iter().map(|mapping| mapping.host_port).collect();
    let forwarder = listeners.serve(&container.target(), facts).expect("forwarder");
    forwarder.ready().expect("ready");
    container.go();
    assert_eq!(container.hear(1), ".");
    (forwarder, host_ports)
}

/// A service that tells each client its address and then echoes.
fn tell_and_echo(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("accept");
        std::thread::spawn(move || {
            let peer = stream.peer_addr().expect("peer");
            let _ = writeln!(stream, "{peer}");
            let mut input = stream.try_clone().expect("clone");
            let _ = std::io::copy(&mut input, &mut stream);
            let _ = stream.shutdown(Shutdown::Write);
        });
    }
}

/// Sends, half-closes, and returns who we are to the service (its first line), having checked the echo.
fn talk(mut stream: TcpStream) -> SocketAddr {
    stream.write_all(b"hello").expect("write");
    stream.shutdown(Shutdown::Write).expect("shutdown");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read");
    let (peer, rest) = text.split_once('\n').expect("line");
    assert_eq!(rest, "hello");
    peer.parse().expect("address")
}

#[test]
fn services_see_the_clients_address() {
    check("tcp clients");
}

fn tcp_clients() {
    host();
    let (container, facts) = world(|say| {
        let both = TcpListener::bind("[::]:80").expect("listen");
        let four = TcpListener::bind("0.0.0.0:81").expect("listen");
        say(".");
        std::thread::spawn(move || tell_and_echo(&four));
        tell_and_echo(&both);
        String::new()
    });
    let (_forwarder, ports) =
        publish(&container, &facts, &["80", "81", "203.0.113.1:8080:80", "[2001:db8::1]:8081:80"]);
    let mapped = |ip: IpAddr| match ip {
        // The service has one socket for both versions.
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        ip => ip,
    };
    let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
    let loopback6: IpAddr = Ipv6Addr::LOCALHOST.into();
    for (from, to, port, seen) in [
        (CLIENT, HOST, ports[0], mapped(CLIENT)),
        (CLIENT6, HOST6, ports[0], CLIENT6),
        (CLIENT, HOST, 8080, mapped(CLIENT)),
        (CLIENT6, HOST6, 8081, CLIENT6),
        (HOST, HOST, ports[0], mapped(HOST)),
        (loopback, loopback, ports[0], mapped(GATEWAY)),
        (loopback6, loopback6, ports[0], GATEWAY6),
        (CLIENT, HOST, ports[1], CLIENT),
        // Nobody listens on IPv6 there.
        (loopback6, loopback6, ports[1], GATEWAY),
        (CLIENT6, HOST6, ports[1], GATEWAY),
    ] {
        let stream =
            connect_from(from, SocketAddr::new(to, port)).unwrap_or_else(|e| panic!("{from} → {to}:{port}: {e}"));
        let own = stream.local_addr().expect("address").port();
        assert_eq!(talk(stream), SocketAddr::new(seen, own), "{from} → {to}:{port}");
    }
    assert!(TcpStream::connect((CLIENT, 8080)).is_err(), "published on one address only");
}

#[test]
fn connections_end_as_without_a_forwarder() {
    check("tcp endings");
}

fn tcp_endings() {
    host();
    let (container, facts) = world(|say| {
        let listener = TcpListener::bind("[::]:80").expect("listen");
        say(".");
        // First client: is reset. Second: sees the client's reset. Third: half-closed by the service.
        let (stream, _) = listener.accept().expect("accept");
        let linger = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
        linger.expect("linger");
        drop(stream);
        let (mut stream, _) = listener.accept().expect("accept");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let reset = stream.read(&mut [0; 16]).map_err(|e| e.kind());
        let (mut stream, _) = listener.accept().expect("accept");
        stream.write_all(b"bye").expect("write");
        stream.shutdown(Shutdown::Write).expect("shutdown");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("read");
        format!("{reset:?} {text}")
    });
    let (_forwarder, ports) = publish(&container, &facts, &["80", "82"]);
    let to = SocketAddr::new(HOST, ports[0]);
    let reset = Err(std::io::ErrorKind::ConnectionReset);

    let mut refused = connect_from(CLIENT, SocketAddr::new(HOST, ports[1])).expect("connect");
    assert_eq!(refused.read(&mut [0; 16]).map_err(|e| e.kind()), reset, "nobody listens");

    let mut stream = connect_from(CLIENT, to).expect("connect");
    assert_eq!(stream.read(&mut [0; 16]).map_err(|e| e.kind()), reset, "the service resets");

    let stream = connect_from(CLIENT, to).expect("connect");
    std::thread::sleep(Duration::from_millis(50));
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("linger");
    drop(stream);

    let mut stream = connect_from(CLIENT, to).expect("connect");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read");
    assert_eq!(text, "bye");
    stream.write_all(b"still here").expect("write");
    drop(stream);
    assert_eq!(container.hear_all(), "Err(ConnectionReset) still here");
}

#[test]
fn much_data_arrives_whole_and_waits_for_slow_readers() {
    check("tcp bulk");
}

fn tcp_bulk() {
    const LENGTH: usize = 64 << 20;
    host();
    let (container, facts) = world(|say| {
        let listener = TcpListener::bind("[::]:80").expect("listen");
        say(".");
        tell_and_echo(&listener);
        String::new()
    });
    let (_forwarder, ports) = publish(&container, &facts, &["80"]);
    let mut stream = connect_from(CLIENT, SocketAddr::new(HOST, ports[0])).expect("connect");
    let mut line = [0; 1];
    while stream.read(&mut line).expect("read") == 1 && line != [b'\n'] {}
    let mut input = stream.try_clone().expect("clone");
    let byte = |at: usize| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
    let writer = std::thread::spawn(move || {
        let mut sent = 0;
        while sent < LENGTH {
            let block: Vec<u8> = (sent..(sent + 65521).min(LENGTH)).map(byte).collect();
            stream.write_all(&block).expect("write");
            sent += block.len();
        }
        stream.shutdown(Shutdown::Write).expect("shutdown");
    });
    // Nothing is read for a while: every buffer on the way fills up.
    std::thread::sleep(Duration::from_millis(500));
    let mut block = vec![0; 100_000];
    let mut got = 0;
    loop {
        let length = input.read(&mut block).expect("read");
        if length == 0 {
            break;
        }
        assert!(block[..length].iter().enumerate().all(|(at, b)| *b == byte(got + at)), "at {got}");
        got += length;
    }
    assert_eq!(got, LENGTH);
    writer.join().expect("writer");
}

#[test]
fn thousands_of_connections_at_once() {
    check("tcp many");
}

fn tcp_many() {
    host();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, ..limit },
    )
    .expect("limit");
    // Two descriptors each in the forwarder, one here and one in the service.
    let count = usize::try_from(limit.maximum.unwrap_or(20_000)).unwrap_or(20_000).min(12_000) / 2 - 100;
    let (container, facts) = world(move |say| {
        let listener = TcpListener::bind("[::]:80").expect("listen");
        rustix::net::listen(&listener, 4096).expect("backlog");
        say(".");
        let mut streams: Vec<TcpStream> = Vec::new();
        while streams.len() < count {
            streams.push(listener.accept().expect("accept").0);
        }
        for stream in &mut streams {
            let mut byte = [0];
            stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
            stream.read_exact(&mut byte).expect("read");
            stream.write_all(&byte).expect("write");
        }
        String::new()
    });
    let (_forwarder, ports) = publish(&container, &facts, &["80"]);
    let connect = |_| connect_from(CLIENT, SocketAddr::new(HOST, ports[0])).expect("connect");
    let mut streams: Vec<TcpStream> = (0..count).map(connect).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&[number as u8]).expect("write");
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("read");
        assert_eq!(byte, [number as u8]);
    }
}

#[test]
fn datagrams_go_both_ways() {
    check("udp");
}

fn udp() {
    host();
    let (container, facts) = world(|say| {
        let both = UdpSocket::bind("[::]:53").expect("bind");
        let four = UdpSocket::bind("0.0.0.0:54").expect("bind");
        let answer = |socket: UdpSocket| {
            let mut buffer = vec![0; 65536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let mut text = format!("{from} ").into_bytes();
                text.extend_from_slice(&buffer[..length]);
                let _ = socket.send_to(&text, from);
            }
        };
        say(".");
        std::thread::spawn(move || answer(four));
        answer(both);
        String::new()
    });
    let (_forwarder, ports) = publish(&container, &facts, &["53/udp", "54/udp", "127.0.0.2:5353:53/udp"]);
    let mapped = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        ip => ip,
    };
    let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
    let loopback6: IpAddr = Ipv6Addr::LOCALHOST.into();
    let second: IpAddr = Ipv4Addr::new(127, 0, 0, 2).into();
    for (from, to, port, seen) in [
        (CLIENT, HOST, ports[0], mapped(CLIENT)),
        (CLIENT6, HOST6, ports[0], CLIENT6),
        (loopback, loopback, ports[0], mapped(GATEWAY)),
        (loopback6, loopback6, ports[0], GATEWAY6),
        (loopback, second, 5353, mapped(GATEWAY)),
        (CLIENT, HOST, ports[1], CLIENT),
        (loopback6, loopback6, ports[1], GATEWAY),
    ] {
        let socket = UdpSocket::bind((from, 0)).expect("bind");
        // Connected: only answers from the address that was asked are taken.
        socket.connect((to, port)).expect("connect");
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("timeout");
        let own = SocketAddr::new(seen, socket.local_addr().expect("address").port());
        for size in [0, 5, 1400, 9000, 60_000] {
            let data = vec![b'x'; size];
            let mut buffer = vec![0; 65536];
            // The first datagram may find nobody on IPv6.
            let got = (0..3).find_map(|_| {
                socket.send(&data).expect("send");
                socket.recv(&mut buffer).ok()
            });
            let text = String::from_utf8_lossy(
                &buffer[..got.unwrap_or_else(|| panic!("no answer: {from} → {to}:{port} {size}"))],
            )
            .into_owned();
            assert_eq!(text, format!("{own} {}", "x".repeat(size)), "{from} → {to}:{port}");
        }
    }
}

#[test]
fn taken_and_forbidden_ports_are_explained() {
    check("ports taken");
}

fn ports_taken() {
    host();
    let taken = TcpListener::bind((HOST, 0)).expect("listen");
    let port = taken.local_addr().expect("address").port();
    let refused = |value: &str| {
        let error = listen(&ports::parse(value).expect("port"), &[]).expect_err("refused");
        format!("{:?} {error} {}", error.kind(), error.hints().join(" "))
    };
    let text = refused(&format!("{port}:80"));
    assert!(text.starts_with("Conflict cannot publish port") && text.contains("choose another host port"), "{text}");
    let text = refused("198.51.100.1:8080:80");
    assert!(text.contains("no interface of this host"), "{text}");
    listen(&ports::parse("80:80").expect("port"), &[]).expect("root of this namespace may");
    crate::sys::namespace::unshare(rustix::thread::UnshareFlags::NEWUSER).expect("unshare");
    let text = refused("80:80");
    assert!(text.contains("net.ipv4.ip_unprivileged_port_start=80") && text.contains("-p 8080:80"), "{text}");
    let many = listen(&ports::parse("20000-20999:1-1000").expect("ports"), &[]).expect("a range");
    assert_eq!(many.mappings.len(), 1000);
}

#[test]
fn forwarders_end_with_their_monitor() {
    check("forwarder ends");
}

fn forwarder_ends() {
    use crate::sys::process::{Fork, exit_now, fork};
    host();
    let (container, facts) = world(|_| String::new());
    let (mut hear, say) = rustix::pipe::pipe().map(|(r, w)| (std::fs::File::from(r), w)).expect("pipe");
    let Fork::Parent(monitor) = fork().expect("fork") else {
        let listeners = listen(&ports::parse("80").expect("port"), &[]).expect("listen");
        let forwarder = listeners.serve(&container.target(), &facts).expect("forwarder");
        forwarder.ready().expect("ready");
        rustix::io::write(&say, &forwarder.pid().as_raw_nonzero().get().to_ne_bytes()).expect("say");
        std::thread::sleep(Duration::from_secs(60));
        exit_now(0);
    };
    drop(say);
    let mut pid = [0; 4];
    hear.read_exact(&mut pid).expect("pid");
    let pid = i32::from_ne_bytes(pid);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    assert!(status.contains("CapEff:\t0000000000003000"), "{status}");

    rustix::process::kill_process(monitor.pid, rustix::process::Signal::KILL).expect("kill");
    monitor.wait().expect("wait");
    let mut rest = Vec::new();
    hear.read_to_end(&mut rest).expect("the forwarder holds no pipe of the monitor's");
    let began = std::time::Instant::now();
    while super::world::alive(pid) {
        assert!(began.elapsed() < Duration::from_secs(2), "the forwarder outlives its monitor");
        std::thread::sleep(Duration::from_millis(5));
    }
}
