//! slirp4netns and pasta: what works from inside, and that they end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::world::{self, HOST, HOST6, PATIENCE, SERVER, container, host};
use crate::network::helper::{Prepared, prepare};
use crate::network::mode;
use crate::runtime::scenarios::Scenario;
use crate::sys::process::{Fork, exit_now, fork};
use crate::sys::scenario::check;

pub(super) const ALL: &[Scenario] = &[
    ("slirp works", slirp_works),
    ("slirp options", slirp_options),
    ("pasta works", pasta_works),
    ("slirp ends", slirp_ends),
    ("pasta ends", pasta_ends),
    ("helper fails", helper_fails),
];

/// The mode's helper, or a word on why there is none.
fn prepared(value: &str) -> Option<Prepared> {
    match mode::parse(value).and_then(|mode| prepare(&mode)) {
        Ok(prepared) => Some(prepared),
        Err(error) if error.to_string().contains("not installed") => {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {error}\n").as_bytes());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A service on the host at `ip` that answers with `hi` by TCP and echoes by UDP.
fn service(ip: IpAddr) -> u16 {
    let tcp = TcpListener::bind((ip, 0)).expect("listen");
    let port = tcp.local_addr().expect("address").port();
    let udp = UdpSocket::bind((ip, port)).expect("bind");
    if let Fork::Child = fork().expect("fork") {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).expect("tie");
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                let _ = udp.send_to(&buffer[..length], from);
            }
        });
        for stream in tcp.incoming() {
            let _ = std::io::Write::write_all(&mut stream.expect("accept"), b"hi");
        }
        exit_now(0);
    }
    port
}

/// `t` and `u` when TCP and UDP reach the service.
fn reaches(ip: IpAddr, port: u16) -> String {
    let mut result = String::new();
    if let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::new(ip, port), Duration::from_secs(3)) {
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(&mut stream, &mut text);
        result.push_str(if text == "hi" { "t" } else { "T" });
    }
    let any = if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let udp = UdpSocket::bind(any).expect("bind");
    udp.set_read_timeout(Some(Duration::from_secs(2))).expect("timeout");
    let mut buffer = [0; 16];
    let sent = udp.send_to(b"hello", (ip, port));
    if sent.is_ok() && udp.recv(&mut buffer).is_ok_and(|length| &buffer[..length] == b"hello") {
        result.push('u');
    }
    result
}

#[test]
fn slirp4netns_reaches_the_host_and_its_resolver() {
    check("slirp works");
}

fn slirp_works() {
    let Some(prepared) = prepared("slirp4netns") else { return };
    host();
    world::resolver();
    let (port, port6) = (service(HOST), service(HOST6));
    let local = service(Ipv4Addr::LOCALHOST.into());
    let dns = prepared.facts().dns.clone();
    let gateway = prepared.facts().gateways[0];
    let mut container = container(prepared.netdev(), move |_| {
        // At once: the helper has just attached, and the first packet must not be lost.
        let began = Instant::now();
        let mut results = vec![reaches(HOST, port), reaches(HOST6, port6)];
        results.push(if began.elapsed() < Duration::from_millis(900) { "fast" } else { "slow" }.to_owned());
        results.extend(dns.iter().map(|server| world::resolves(*server).to_string()));
        results.push(reaches(gateway, local));
        results.join(" ")
    });
    let running = container.connect(prepared).expect("slirp4netns");
    container.go();
    assert_eq!(container.hear_all(), "tu tu fast true ");
    assert!(running.pid().is_some());
}

#[test]
fn slirp4netns_takes_podmans_options() {
    check("slirp options");
}

fn slirp_options() {
    let options =
        "slirp4netns:allow_host_loopback=true,cidr=10.11.12.0/25,mtu=1400,enable_ipv6=false,outbound_addr=203.0.113.9";
    let Some(prepared) = prepared(options) else { return };
    host();
    let local = service(Ipv4Addr::LOCALHOST.into());
    let outside = TcpListener::bind((HOST, 0)).expect("listen");
    let port = outside.local_addr().expect("address").port();
    let mut container = container(prepared.netdev(), move |_| {
        let loopback = reaches(Ipv4Addr::new(10, 11, 12, 2).into(), local);
        let _stream = TcpStream::connect((HOST, port)).expect("connect");
        let mtu = std::fs::read_to_string("/proc/net/dev").map(|_| ()).is_ok();
        let six = UdpSocket::bind("[::]:0").and_then(|socket| socket.connect((HOST6, 9))).is_ok();
        format!("{loopback} {mtu} {six}")
    });
    let _running = container.connect(prepared).expect("slirp4netns");
    container.go();
    let (_stream, from) = outside.accept().expect("accept");
    assert_eq!(from.ip(), SERVER);
    assert_eq!(container.hear_all(), "tu true false");
}

#[test]
fn pasta_reaches_the_host_and_its_resolver() {
    check("pasta works");
}

fn pasta_works() {
    let Some(prepared) = prepared("pasta:--mtu,1400") else { return };
    host();
    world::resolver();
    let port = service(SERVER);
    let dns = prepared.facts().dns[0];
    let mut container =
        container(prepared.netdev(), move |_| format!("{} {}", reaches(SERVER, port), world::resolves(dns)));
    let _running = container.connect(prepared).expect("pasta");
    container.go();
    assert_eq!(container.hear_all(), "tu true");
}

#[test]
fn slirp4netns_ends_with_its_monitor() {
    check("slirp ends");
}

fn slirp_ends() {
    ends("slirp4netns");
}

#[test]
fn pasta_ends_with_its_monitor() {
    check("pasta ends");
}

fn pasta_ends() {
    ends("pasta");
}

/// Normally, and when the monitor is killed, also while the container lives on.
fn ends(name: &str) {
    if prepared(name).is_none() {
        return;
    }
    host();
    for killed in [false, true] {
        let prepared = prepared(name).expect("installed");
        let mut container = container(prepared.netdev(), |_| String::new());
        let target = container.target();
        let (mut hear, say) = rustix::pipe::pipe().map(|(r, w)| (std::fs::File::from(r), w)).expect("pipe");
        let Fork::Parent(monitor) = fork().expect("fork") else {
            drop(hear);
            let running = container.connect(prepared).expect("helper");
            let pid = running.pid().expect("pid").as_raw_nonzero().get();
            rustix::io::write(&say, &pid.to_ne_bytes()).expect("say");
            if killed {
                std::thread::sleep(Duration::from_secs(60));
            }
            drop(running);
            assert!(!world::alive(pid));
            std::mem::forget(container);
            exit_now(0);
        };
        drop((say, target));
        let mut pid = [0; 4];
        std::io::Read::read_exact(&mut hear, &mut pid).expect("pid");
        let pid = i32::from_ne_bytes(pid);
        if killed {
            assert!(world::alive(pid), "{name} runs");
            rustix::process::kill_process(monitor.pid, rustix::process::Signal::KILL).expect("kill");
        }
        assert_eq!(monitor.wait(), Ok(if killed { 137 } else { 0 }));
        let began = Instant::now();
        while world::alive(pid) {
            assert!(began.elapsed() < Duration::from_secs(2), "{name} outlives its monitor");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_failing_helpers_words_are_the_error() {
    check("helper fails");
}

fn helper_fails() {
    host();
    if let Some(prepared) = prepared("pasta:--mtu,99999999") {
        let mut container = container(prepared.netdev(), |_| String::new());
        let error = container.connect(prepared).expect_err("fails").to_string();
        assert!(error.contains("pasta failed") && error.contains("MTU"), "{error}");
    }
    if let Some(prepared) = prepared("slirp4netns") {
        // The tap device is missing.
        let mut container = container(Some(&crate::runtime::netdev::Setup::new(None)), |_| String::new());
        container.link = Some(crate::sys::netlink::link_events().expect("events"));
        std::fs::write("/proc/sys/user/max_mnt_namespaces", "0").expect("limit");
        let running = container.connect(prepared);
        let error = running.expect_err("fails").to_string();
        assert!(error.contains("slirp4netns failed"), "{error}");
    }
}
