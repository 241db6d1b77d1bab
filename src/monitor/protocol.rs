//! What a monitor and its clients say to each other, over a SOCK_SEQPACKET socket: one message, one packet.
//!
//! A packet is one byte that names the message and its payload. The monitor answers a new client with nothing: a client
//! that attached late hears `Stdout`, `Stderr` and at last `Exit`; the client that had the container started first hears
//! `Started` or `Error`. A client that goes without `Detach` has lost its terminal: its input ends.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};
use crate::sys::tty::Size;

/// The largest payload of `Stdin`, `Stdout` and `Stderr`.
pub(crate) const CHUNK: usize = 16 * 1024;

/// Room for the largest packet.
pub(crate) const PACKET: usize = CHUNK + 1;

const STDIN: u8 = b'i';
const STDIN_CLOSE: u8 = b'c';
const RESIZE: u8 = b'r';
const SIGNAL: u8 = b's';
const DETACH: u8 = b'd';
const STOP: u8 = b'k';
const PAUSE: u8 = b'z';
const RESUME: u8 = b'u';
const OUTPUT_CLOSED: u8 = b'p';
const GO: u8 = b'g';
const RELOAD: u8 = b'l';
const WARNING: u8 = b'W';
const STARTED: u8 = b'S';
const STDOUT: u8 = b'O';
const STDERR: u8 = b'E';
const TAKEN: u8 = b'T';
const EXIT: u8 = b'X';
const DETACHED: u8 = b'D';
const SESSION: u8 = b'N';
const ERROR: u8 = b'F';

/// Which of the container's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// From a client to the monitor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    Stdin(&'a [u8]),
    /// End of the client's input.
    StdinClose,
    Resize(Size),
    /// A signal for the container's first process.
    Signal(i32),
    /// Sends this signal, and the container is not started again whatever `--restart` says. The client hears nothing but
    /// the end.
    Stop(i32),
    /// All processes stand still until `Resume`. Both are answered with `Started` or `Error`.
    Pause,
    Resume,
    /// The client goes on purpose; the container's input stays open.
    Detach,
    /// Nobody reads the client's output any more (`rpod run … | head`).
    OutputClosed(Stream),
    /// A container that is made but not started: its program is to run. Answered with `Started` or `Error`.
    Go,
    /// Something that may change while the container runs was written down. Answered with `Started` or `Error`.
    Reload,
}

/// From the monitor to a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// Something that could not be honoured, for standard error. Before `Started`.
    Warning(&'a [u8]),
    /// The container's program was executed.
    Started,
    Output(Stream, &'a [u8]),
    /// The last `Stdin` is on its way into the container; the next one may come. A client that waits for this never
    /// makes its own signals queue behind input that nobody reads.
    Taken,
    /// The container has ended, its state is written and, with `--rm`, it is gone.
    Exit(u8),
    /// A process of `exec` runs in the background, under this id.
    Session(&'a [u8]),
    /// The user typed the keys that leave a process of `exec` alone.
    Detached,
    /// The container could not be started: an encoded [`Failure`].
    Error(&'a [u8]),
}

/// A packet that is not part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message between rpod and its monitor")]
pub(crate) struct Malformed;

impl<'a> Request<'a> {
    /// Writes the packet to `buffer`.
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        match self {
            Self::Stdin(data) => packet(buffer, STDIN, data),
            Self::StdinClose => packet(buffer, STDIN_CLOSE, &[]),
            Self::Resize(Size { rows, columns }) => {
                packet(buffer, RESIZE, &rows.to_le_bytes());
                buffer.extend_from_slice(&columns.to_le_bytes());
            }
            Self::Signal(number) => packet(buffer, SIGNAL, &number.to_le_bytes()),
            Self::Stop(number) => packet(buffer, STOP, &number.to_le_bytes()),
            Self::Pause => packet(buffer, PAUSE, &[]),
            Self::Resume => packet(buffer, RESUME, &[]),
            Self::Detach => packet(buffer, DETACH, &[]),
            Self::OutputClosed(stream) => packet(buffer, OUTPUT_CLOSED, &[output_kind(*stream)]),
            Self::Go => packet(buffer, GO, &[]),
            Self::Reload => packet(buffer, RELOAD, &[]),
        }
    }

    pub(crate) fn decode(packet: &'a [u8]) -> Result<Self, Malformed> {
        let (kind, payload) = packet.split_first().ok_or(Malformed)?;
        match (*kind, payload) {
            (STDIN, data) => Ok(Self::Stdin(data)),
            (STDIN_CLOSE, []) => Ok(Self::StdinClose),
            (RESIZE, &[r0, r1, c0, c1]) => {
                Ok(Self::Resize(Size { rows: u16::from_le_bytes([r0, r1]), columns: u16::from_le_bytes([c0, c1]) }))
            }
            (SIGNAL, &[a, b, c, d]) => Ok(Self::Signal(i32::from_le_bytes([a, b, c, d]))),
            (STOP, &[a, b, c, d]) => Ok(Self::Stop(i32::from_le_bytes([a, b, c, d]))),
            (PAUSE, []) => Ok(Self::Pause),
            (RESUME, []) => Ok(Self::Resume),
            (DETACH, []) => Ok(Self::Detach),
            (OUTPUT_CLOSED, [STDOUT]) => Ok(Self::OutputClosed(Stream::Stdout)),
            (OUTPUT_CLOSED, [STDERR]) => Ok(Self::OutputClosed(Stream::Stderr)),
            (GO, []) => Ok(Self::Go),
            (RELOAD, []) => Ok(Self::Reload),
            _ => Err(Malformed),
        }
    }
}

impl<'a> Event<'a> {
    /// Writes the packet to `buffer`.
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        match self {
            Self::Warning(text) => packet(buffer, WARNING, text),
            Self::Started => packet(buffer, STARTED, &[]),
            Self::Output(stream, data) => packet(buffer, output_kind(*stream), data),
            Self::Taken => packet(buffer, TAKEN, &[]),
            Self::Exit(code) => packet(buffer, EXIT, &[*code]),
            Self::Session(id) => packet(buffer, SESSION, id),
            Self::Detached => packet(buffer, DETACHED, &[]),
            Self::Error(failure) => packet(buffer, ERROR, failure),
        }
    }

    pub(crate) fn decode(packet: &'a [u8]) -> Result<Self, Malformed> {
        let (kind, payload) = packet.split_first().ok_or(Malformed)?;
        match (*kind, payload) {
            (WARNING, text) => Ok(Self::Warning(text)),
            (STARTED, []) => Ok(Self::Started),
            (STDOUT, data) => Ok(Self::Output(Stream::Stdout, data)),
            (STDERR, data) => Ok(Self::Output(Stream::Stderr, data)),
            (TAKEN, []) => Ok(Self::Taken),
            (EXIT, &[code]) => Ok(Self::Exit(code)),
            (SESSION, id) => Ok(Self::Session(id)),
            (DETACHED, []) => Ok(Self::Detached),
            (ERROR, failure) => Ok(Self::Error(failure)),
            _ => Err(Malformed),
        }
    }
}

/// The first byte of an output packet, for a reader that puts it before the data it just read.
pub(crate) fn output_kind(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => STDOUT,
        Stream::Stderr => STDERR,
    }
}

fn packet(buffer: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    buffer.push(kind);
    buffer.extend_from_slice(payload);
}

/// An [`Error`] on its way to another process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    code: u8,
    what: String,
    hints: Vec<String>,
}

impl Failure {
    /// As the payload of [`Event::Error`]; cut to what a packet holds.
    pub(crate) fn encode(error: &Error) -> Vec<u8> {
        let mut what = error.to_string();
        what.truncate(what.floor_char_boundary(CHUNK / 4));
        let failure = Self { code: error.kind().exit_code(), what, hints: error.hints().to_vec() };
        serde_json::to_vec(&failure).unwrap_or_default()
    }

    pub(crate) fn decode(payload: &[u8]) -> Error {
        let Ok(failure) = serde_json::from_slice::<Self>(payload) else {
            return Error::new("the container's monitor failed and could not say why");
        };
        let kind = match failure.code {
            126 => Kind::CannotInvoke,
            127 => Kind::ProgramNotFound,
            _ => Kind::General,
        };
        failure.hints.into_iter().fold(Error::new(failure.what).with_kind(kind), Error::hint)
    }
}

/// Sends one packet; a full socket waits unless it is non-blocking.
pub(crate) fn send(socket: BorrowedFd<'_>, packet: &[u8]) -> Result<(), Errno> {
    loop {
        match rustix::net::send(socket, packet, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            result => return result.map(drop),
        }
    }
}

/// Receives one packet into `buffer`; 0 when the other side is gone.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
            // The other side went with unread packets in its queue. That is told once and first (unix(7)): what it sent
            // before can still be read.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            result => return result.map(|(read, _)| read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_round_trip() {
        let mut buffer = Vec::new();
        for request in [
            Request::Stdin(b"abc"),
            Request::StdinClose,
            Request::Resize(Size { rows: 24, columns: 300 }),
            Request::Signal(15),
            Request::Stop(9),
            Request::Pause,
            Request::Resume,
            Request::Detach,
            Request::OutputClosed(Stream::Stderr),
            Request::Go,
            Request::Reload,
        ] {
            request.encode(&mut buffer);
            assert_eq!(Request::decode(&buffer), Ok(request));
        }
        for bad in [&b""[..], b"r123", b"d1", b"pX", b"?"] {
            assert_eq!(Request::decode(bad), Err(Malformed));
        }
    }

    #[test]
    fn events_round_trip() {
        let mut buffer = Vec::new();
        for event in [
            Event::Started,
            Event::Output(Stream::Stderr, b"x"),
            Event::Taken,
            Event::Exit(137),
            Event::Session(b"id"),
            Event::Detached,
            Event::Error(b"{}"),
        ] {
            event.encode(&mut buffer);
            assert_eq!(Event::decode(&buffer), Ok(event));
        }
        assert_eq!(Event::decode(b"X"), Err(Malformed));
    }

    #[test]
    fn failure_keeps_kind_and_hints() {
        let error = Error::new("é".repeat(CHUNK)).with_kind(Kind::ProgramNotFound).hint("do that");
        let back = Failure::decode(&Failure::encode(&error));
        assert_eq!((back.kind(), back.hints()), (Kind::ProgramNotFound, &["do that".to_owned()][..]));
    }
}
