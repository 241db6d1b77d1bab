//! DNS over TCP: each message behind its length (RFC 1035, 4.2.2).

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// One message to be sent and one to be received, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Stream {
    out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
}

/// The largest message that a client may send: a question.
const QUESTION: usize = 4096;

impl Stream {
    /// A connection on which `packet` is asked.
    pub(super) fn asking(packet: &[u8]) -> Self {
        let mut stream = Self::default();
        stream.say(packet);
        stream
    }

    /// Puts a message behind those that wait.
    pub(super) fn say(&mut self, packet: &[u8]) {
        let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(packet.get(..usize::from(length)).unwrap_or_default());
    }

    pub(super) fn has_output(&self) -> bool {
        self.sent < self.out.len()
    }

    /// Sends and receives what it can; a whole message when there is one.
    pub(super) fn turn(&mut self, socket: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
        self.flush(socket)?;
        self.receive(socket, usize::from(u16::MAX))
    }

    /// Sends what it can.
    pub(super) fn flush(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        while self.has_output() {
            match send(socket, &self.out[self.sent..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(length) => self.sent += length,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// The next question of a client.
    pub(super) fn question(&mut self, socket: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
        self.receive(socket, QUESTION)
    }

    fn receive(&mut self, socket: &OwnedFd, limit: usize) -> Result<Option<Vec<u8>>, Errno> {
        loop {
            if let [a, b, rest @ ..] = self.input.as_slice() {
                let length = usize::from(u16::from_be_bytes([*a, *b]));
                if length > limit || length < 12 {
                    return Err(Errno::MSGSIZE);
                }
                if rest.len() >= length {
                    let message = rest[..length].to_vec();
                    self.input.drain(..2 + length);
                    return Ok(Some(message));
                }
            }
            let mut buffer = [0; 2048];
            match recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(Errno::PIPE),
                Ok((_, length)) => self.input.extend_from_slice(&buffer[..length]),
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
    }
}
