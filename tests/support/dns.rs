//! A name server on a loopback address, as systemd-resolved and dnsmasq are: it knows one answer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

use super::trial::{Stop, skip};

/// Answers every question for an A record with [`DnsServer::ANSWER`].
#[derive(Debug)]
pub struct DnsServer;

impl DnsServer {
    /// Not 127.0.0.53, which may be taken; resolv.conf cannot name a port, so it is 53 and needs root.
    pub const ADDRESS: &'static str = "127.0.77.53";
    pub const ANSWER: &'static str = "203.0.113.7";

    pub fn start() -> Result<Self, Stop> {
        Self::at(Self::ADDRESS, [203, 0, 113, 7])
    }

    /// How many addresses a big answer has.
    pub const BIG: u8 = 200;

    /// Another one, on another address, with another answer.
    pub fn at(address: &str, known: [u8; 4]) -> Result<Self, Stop> {
        let socket = match UdpSocket::bind((address, 53)) {
            Ok(socket) => socket,
            Err(e) => return skip(format!("cannot listen on {address}:53: {e}")),
        };
        let listener = TcpListener::bind((address, 53))?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = over_tcp(stream, known);
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                if let Some(answer) = answer(&buffer[..length], known, false) {
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        Ok(Self)
    }
}

/// One question of one connection.
fn over_tcp(mut stream: TcpStream, known: [u8; 4]) -> std::io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question)?;
    let answer = answer(&question, known, true).unwrap_or_default();
    stream.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat())
}

/// Names that begin with "big" have [`DnsServer::BIG`] addresses, which only TCP carries.
fn answer(question: &[u8], known: [u8; 4], tcp: bool) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let name = question.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    let end = HEADER + name + 5;
    let is_a = question.get(end - 4..end - 2)? == [0, 1];
    let big = question.get(HEADER + 1..HEADER + 4) == Some(b"big");
    let truncated = big && !tcp;
    let count = if !is_a || truncated {
        0
    } else if big {
        DnsServer::BIG
    } else {
        1
    };
    let mut answer = question[..2].to_vec();
    answer.extend([0x81 | u8::from(truncated) << 1, 0x80, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(&question[HEADER..end]);
    for _ in 0..count {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(known);
    }
    Some(answer)
}
