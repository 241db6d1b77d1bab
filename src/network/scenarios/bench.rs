//! Measurements, printed by hand: `RPOD_TEST_SCENARIO="network bench" target/…/deps/rpod-…`. No test runs them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use super::world::{self, CLIENT, HOST, connect_from, container, host};
use crate::network::forward::listen::listen;
use crate::network::helper::prepare;
use crate::network::{mode, ports};
use crate::runtime::scenarios::Scenario;

pub(super) const ALL: &[Scenario] = &[("network bench", bench)];

fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn bench() {
    host();
    for name in ["slirp4netns", "slirp4netns:enable_ipv6=false", "pasta"] {
        starts(name);
    }
    forwarding();
}

/// From the start of the helper to a network that can be used.
fn starts(name: &str) {
    let Ok(mode) = mode::parse(name) else { return };
    let mut times: Vec<Duration> = (0..25)
        .filter_map(|_| {
            let mut prepared = prepare(&mode).ok()?;
            let mut container = container(prepared.netdev(), |_| String::new());
            prepared.cloned(container.link.take()).ok()?;
            let began = Instant::now();
            prepared.mapped(container.pid, None).ok()?;
            let _running = prepared.ready().ok()?;
            Some(began.elapsed())
        })
        .collect();
    times.sort_unstable();
    if let Some(median) = times.get(times.len() / 2) {
        print(&format!("{name:32} ready after {:.2} ms (median of {})", median.as_secs_f64() * 1e3, times.len()));
    }
}

fn forwarding() {
    let Ok(prepared) = prepare(&mode::Mode::Private) else { return };
    let facts = prepared.facts().clone();
    let mut container = container(prepared.netdev(), |say| {
        let _server = serve_iperf();
        let echo = TcpListener::bind("[::]:7").expect("listen");
        let datagrams = UdpSocket::bind("[::]:7").expect("bind");
        std::thread::sleep(Duration::from_millis(300));
        say(".");
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = datagrams.recv_from(&mut buffer) {
                let _ = datagrams.send_to(&buffer[..length], from);
            }
        });
        for stream in echo.incoming() {
            let mut stream = stream.expect("accept");
            std::thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let _ = stream.write_all(&buffer[..length]);
                }
            });
        }
        String::new()
    });
    let published = ports::parse_all(&["5201:5201/tcp,udp", "7:7/tcp,udp"]).expect("ports");
    let began = Instant::now();
    let listeners = listen(&published, &[]).expect("listen");
    let forwarder = listeners.serve(&container.target(), &facts).expect("forwarder");
    forwarder.ready().expect("ready");
    print(&format!("forwarder ready after {:.2} ms", began.elapsed().as_secs_f64() * 1e3));
    let _running = container.connect(prepared).expect("helper");
    container.go();
    container.hear(1);
    let _direct = serve_iperf_at("5202");
    std::thread::sleep(Duration::from_millis(300));
    for port in ["5202", "5201"] {
        print(if port == "5201" { "through the forwarder:" } else { "directly:" });
        throughput(port);
    }
    latency("through the forwarder", CLIENT, SocketAddr::new(HOST, 7));
    let status = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", forwarder.pid().as_raw_nonzero()));
    for line in
        status.unwrap_or_default().lines().filter(|line| line.starts_with("Private") || line.starts_with("Pss:"))
    {
        print(&format!("forwarder {line}"));
    }
    let direct = TcpListener::bind((HOST, 9)).expect("listen");
    std::thread::spawn(move || {
        for stream in direct.incoming() {
            let mut stream = stream.expect("accept");
            std::thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let _ = stream.write_all(&buffer[..length]);
                }
            });
        }
    });
    latency("directly", CLIENT, SocketAddr::new(HOST, 9));
    assert!(!world::alive(0));
}

fn latency(what: &str, from: IpAddr, to: SocketAddr) {
    let connections = 2000;
    let began = Instant::now();
    for _ in 0..connections {
        let mut stream: TcpStream = connect_from(from, to).expect("connect");
        stream.write_all(b"x").expect("write");
        stream.read_exact(&mut [0]).expect("read");
    }
    let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(connections);
    let mut stream = connect_from(from, to).expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    let began = Instant::now();
    for _ in 0..20_000 {
        stream.write_all(b"x").expect("write");
        stream.read_exact(&mut [0]).expect("read");
    }
    let round = began.elapsed().as_secs_f64() * 1e6 / 20_000.0;
    print(&format!("{what}: connect + 1 byte + close {each:.0} µs, round trip {round:.1} µs"));
}

/// An iperf3 server that does not outlive the measurement by much.
fn serve_iperf() -> Option<std::process::Child> {
    serve_iperf_at("5201")
}

fn serve_iperf_at(port: &str) -> Option<std::process::Child> {
    let null = std::process::Stdio::null;
    Command::new("timeout").args(["60", "iperf3", "-s", "-p", port]).stdout(null()).stderr(null()).spawn().ok()
}

fn throughput(port: &str) {
    let (client, to) = (CLIENT.to_string(), HOST.to_string());
    for (what, extra) in [
        ("1 stream in", vec![]),
        ("1 stream out", vec!["-R"]),
        ("4 streams in", vec!["-P", "4"]),
        ("udp 8k, unlimited", vec!["-u", "-b", "0", "-l", "8192"]),
    ] {
        let output = Command::new("iperf3")
            .args(["-c", &to, "-p", port, "-B", &client, "-t", "3", "-f", "g"])
            .args(extra)
            .output();
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        let last = text.lines().rfind(|line| line.contains("receiver")).unwrap_or("failed").to_owned();
        print(&format!("{what:20} {last}"));
    }
}
