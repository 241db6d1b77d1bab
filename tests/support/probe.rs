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
        Some("ask-dns") => ask_dns(&args[2], &args[3], args[4] == "tcp", args[5].parse().expect("a size")),
        Some("flood-dns") => flood_dns(&args[2], args[3].parse().expect("a number")),
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

/// A question for a name's IPv4 addresses; with `payload`, EDNS says that so much can be received.
fn dns_question(name: &str, payload: u16) -> Vec<u8> {
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(payload > 0)];
    for label in name.split('.') {
        question.push(label.len() as u8);
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    if payload > 0 {
        question.extend([0, 0, 41]);
        question.extend(payload.to_be_bytes());
        question.extend([0; 6]);
    }
    question
}

/// Prints what a name server's answer is like.
fn ask_dns(server: &str, name: &str, tcp: bool, payload: u16) {
    let question = dns_question(name, payload);
    let patience = Some(Duration::from_secs(5));
    let mut answer = vec![0; 65536];
    let length = if tcp {
        let mut stream = std::net::TcpStream::connect((server, 53)).unwrap();
        stream.set_read_timeout(patience).unwrap();
        stream.write_all(&[&(question.len() as u16).to_be_bytes()[..], &question].concat()).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let length = usize::from(u16::from_be_bytes(length));
        stream.read_exact(&mut answer[..length]).unwrap();
        length
    } else {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(patience).unwrap();
        socket.send_to(&question, (server, 53)).unwrap();
        socket.recv(&mut answer).unwrap()
    };
    let (truncated, code) = (answer[2] >> 1 & 1, answer[3] & 15);
    let (answers, more) = (u16::from_be_bytes([answer[6], answer[7]]), u16::from_be_bytes([answer[10], answer[11]]));
    println!("code {code} truncated {truncated} answers {answers} additional {more} bytes {length}");
}

/// Asks for so many names that nobody has, and sends as much nonsense, without waiting for an answer.
fn flood_dns(server: &str, count: usize) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    for number in 0..count {
        let _ = socket.send_to(&dns_question(&format!("n{number}.example.org"), 0), (server, 53));
        let _ = socket.send_to(&[number as u8; 40], (server, 53));
    }
    println!("flooded");
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
