//! The test binary inside a container: it is static, so `-v PROBE:/probe:ro` and `/probe --probe VERB …` need nothing there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use super::cache;

/// Where the containers' users can execute it.
pub fn probe() -> &'static std::path::Path {
    cache::copy_of(&std::env::current_exe().unwrap(), "probe")
}

/// `--probe …` on the command line: be the probe, not the tests.
pub fn run_as_probe() -> bool {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_none_or(|first| first != "--probe") {
        return false;
    }
    let port = |n: usize| args.get(n).and_then(|port| port.parse::<u16>().ok()).expect("a port");
    match args.get(1).map(String::as_str) {
        Some("tcp") => tcp(port(2)),
        Some("udp") => udp(port(2)),
        Some("ask-udp") => ask_udp(&args[2], port(3)),
        Some("sink") => sink(port(2)),
        Some("notify") => notify(&args[2]),
        other => panic!("no probe {other:?}"),
    }
    true
}

/// Answers each connection with its peer's address, then with what it read, once the peer has shut down its side.
fn tcp(port: u16) {
    let listener = TcpListener::bind(("::", port)).unwrap();
    println!("listening");
    for stream in listener.incoming() {
        std::thread::spawn(move || {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap();
            let _ = writeln!(stream, "{}", plain(peer));
            let mut text = Vec::new();
            let _ = stream.read_to_end(&mut text);
            let _ = stream.write_all(&text);
        });
    }
}

/// Answers each datagram with its sender's address and the datagram.
fn udp(port: u16) {
    let socket = UdpSocket::bind(("::", port)).unwrap();
    println!("listening");
    let mut buffer = [0; 65536];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).unwrap();
        let mut answer = format!("{}\n", plain(peer)).into_bytes();
        answer.extend_from_slice(&buffer[..length]);
        let _ = socket.send_to(&answer, peer);
    }
}

/// Says something to the service manager.
fn notify(text: &str) {
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    socket.send_to(text.as_bytes(), std::env::var_os("NOTIFY_SOCKET").unwrap()).unwrap();
}

/// Prints what a service answers to one datagram; nothing when it does not.
fn ask_udp(host: &str, port: u16) {
    let any = if host.contains(':') { "::" } else { "0.0.0.0" };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.send_to(b"x", (host, port)).unwrap();
    let mut buffer = [0; 65536];
    if let Ok((length, _)) = socket.recv_from(&mut buffer) {
        print!("{}", String::from_utf8_lossy(&buffer[..length]));
    }
}

/// Reads everything and answers with the number of bytes.
fn sink(port: u16) {
    let listener = TcpListener::bind(("::", port)).unwrap();
    println!("listening");
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut buffer = vec![0; 1 << 18];
        let mut total = 0;
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            total += n;
        }
        let _ = writeln!(stream, "{total}");
    }
}

/// An IPv4 address as such, not mapped into IPv6.
fn plain(peer: SocketAddr) -> std::net::IpAddr {
    peer.ip().to_canonical()
}
