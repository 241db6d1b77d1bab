//! The little of D-Bus that one method call needs (D-Bus Specification, "Message Protocol"): connect, authenticate, call,
//! read the answer. Blocking, with a time limit, and without threads: the caller forks containers afterwards, which no
//! D-Bus crate allows for.

use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the other side may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers larger than this are not of the calls made here.
const LARGEST: u32 = 1 << 20;

/// A value of a message.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Flag(bool),
    /// `au`.
    Numbers(Vec<u32>),
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Self::Text(_) => "s",
            Self::Flag(_) => "b",
            Self::Numbers(_) => "au",
        }
    }
}

/// A connection to a bus, or directly to a service.
pub(super) struct Connection {
    stream: UnixStream,
    serial: u32,
}

/// What is called.
pub(super) struct Call<'a> {
    /// `None` on a direct connection.
    pub destination: Option<&'a str>,
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
    pub signature: &'a str,
    pub body: Body,
}

impl Connection {
    /// Connects as this process's user.
    pub(super) fn open(socket: &Path) -> Result<Self, Error> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
            if line.len() > 512 {
                return Err(malformed());
            }
        }
        if !line.starts_with(b"OK ") {
            return Err(Error::new(ErrorKind::PermissionDenied, "the message bus refused this user"));
        }
        stream.write_all(b"BEGIN\r\n")?;
        Ok(Self { stream, serial: 0 })
    }

    /// Connects to a bus, which wants to be greeted.
    pub(super) fn to_bus(socket: &Path) -> Result<Self, Error> {
        let mut connection = Self::open(socket)?;
        connection.call(&Call {
            destination: Some("org.freedesktop.DBus"),
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
            signature: "",
            body: Body::default(),
        })?;
        Ok(connection)
    }

    /// Calls and waits for the answer. An error has the words of the other side.
    pub(super) fn call(&mut self, call: &Call<'_>) -> Result<Answer, Error> {
        self.serial += 1;
        self.stream.write_all(&message(self.serial, call))?;
        // Signals and answers to nobody are passed over.
        loop {
            if let Some(outcome) = self.receive()? {
                return outcome.map_err(Error::other);
            }
        }
    }

    /// The next message: `None` when it is not the answer to the last call.
    fn receive(&mut self) -> Result<Option<Result<Answer, String>>, Error> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        let number = |at: usize| -> u32 {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            if head[0] == b'B' { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let (body, fields) = (number(4), number(12));
        if body > LARGEST || fields > LARGEST {
            return Err(malformed());
        }
        let mut rest = vec![0; (fields.next_multiple_of(8) + body) as usize];
        self.stream.read_exact(&mut rest)?;
        // Nobody here speaks the other byte order.
        if head[0] != b'l' {
            return Ok(None);
        }
        let (header, text) = rest.split_at(fields.next_multiple_of(8) as usize);
        if reply_serial(&header[..fields as usize]) != Some(self.serial) {
            return Ok(None);
        }
        Ok(match head[1] {
            2 => Some(Ok(Answer(text.to_vec()))),
            3 => Some(Err(first_text(text).unwrap_or_else(|| "unknown error".to_owned()))),
            _ => None,
        })
    }
}

/// What an answer carries.
#[derive(Debug)]
pub(super) struct Answer(Vec<u8>);

impl Answer {
    /// Of a variant with a boolean (`b`).
    pub(super) fn flag(&self) -> Option<bool> {
        let (kind, mut rest) = self.variant()?;
        if kind == b"b" { Some(number(&mut rest)? != 0) } else { None }
    }

    /// Of a variant with a list of strings (`as`).
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        let (kind, mut rest) = self.variant()?;
        if kind != b"as" {
            return None;
        }
        let end = number(&mut rest)? as usize;
        let end = rest.0.checked_add(end)?;
        let mut texts = Vec::new();
        while rest.0 < end {
            let length = number(&mut rest)? as usize;
            let text = rest.1.get(rest.0..rest.0.checked_add(length)?)?;
            texts.push(String::from_utf8_lossy(text).into_owned());
            rest.0 += length + 1;
        }
        Some(texts)
    }

    /// A variant's signature, and the place where its value begins.
    fn variant(&self) -> Option<(&[u8], Place<'_>)> {
        let length = usize::from(*self.0.first()?);
        Some((self.0.get(1..1 + length)?, (length + 2, &self.0)))
    }
}

/// How far a message has been read, and the message.
type Place<'m> = (usize, &'m [u8]);

/// The next number at a place in a message.
fn number(place: &mut Place<'_>) -> Option<u32> {
    let at = place.0.next_multiple_of(4);
    place.0 = at.checked_add(4)?;
    Some(u32::from_le_bytes(place.1.get(at..at + 4)?.try_into().ok()?))
}

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "the message bus sent something that is no message")
}

/// Field 5 of a header, which stands where its writer put it.
fn reply_serial(header: &[u8]) -> Option<u32> {
    let mut at = 0usize;
    while at < header.len() {
        at = at.next_multiple_of(8);
        let (code, kind) = (*header.get(at)?, *header.get(at + 2)?);
        // Code, then a signature of one letter: length, letter, zero.
        at += 4;
        match kind {
            b'u' => {
                at = at.next_multiple_of(4);
                let value = u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?);
                if code == 5 {
                    return Some(value);
                }
                at += 4;
            }
            b's' | b'o' => {
                at = at.next_multiple_of(4);
                let length = u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?);
                at = at.checked_add(4 + length as usize + 1)?;
            }
            b'g' => at += usize::from(*header.get(at)?) + 2,
            _ => return None,
        }
    }
    None
}

fn first_text(body: &[u8]) -> Option<String> {
    let length = u32::from_le_bytes(body.get(..4)?.try_into().ok()?) as usize;
    body.get(4..4usize.checked_add(length)?).map(|text| String::from_utf8_lossy(text).into_owned())
}

fn message(serial: u32, call: &Call<'_>) -> Vec<u8> {
    let mut fields = Body::default();
    let mut field = |code: u8, kind: &str, value: &str| {
        fields.align(8);
        fields.bytes.push(code);
        fields.signature(kind);
        if kind == "g" { fields.signature(value) } else { fields.text(value) }
    };
    field(1, "o", call.path);
    field(2, "s", call.interface);
    field(3, "s", call.member);
    if let Some(destination) = call.destination {
        field(6, "s", destination);
    }
    if !call.signature.is_empty() {
        field(8, "g", call.signature);
    }
    let mut message = Body::default();
    // Little-endian, a method call, no flags, version 1.
    message.bytes.extend_from_slice(&[b'l', 1, 0, 1]);
    message.number(call.body.bytes.len() as u32);
    message.number(serial);
    message.number(fields.bytes.len() as u32);
    message.bytes.append(&mut fields.bytes);
    message.align(8);
    message.bytes.extend_from_slice(&call.body.bytes);
    message.bytes
}

/// Values in the form they are sent in.
#[derive(Debug, Default)]
pub(super) struct Body {
    bytes: Vec<u8>,
}

impl Body {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, signature: &str) {
        self.bytes.push(signature.len() as u8);
        self.bytes.extend_from_slice(signature.as_bytes());
        self.bytes.push(0);
    }

    /// An array, whose length is known when its elements are there; they begin at a multiple of `align`.
    fn array(&mut self, align: usize, elements: impl FnOnce(&mut Self)) {
        self.number(0);
        let place = self.bytes.len() - 4;
        self.align(align);
        let start = self.bytes.len();
        elements(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[place..place + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// `a(sv)`.
    pub(super) fn properties(&mut self, properties: &[(&str, Value)]) {
        self.array(8, |body| {
            for (name, value) in properties {
                body.align(8);
                body.text(name);
                body.signature(value.signature());
                match value {
                    Value::Text(text) => body.text(text),
                    Value::Flag(flag) => body.number(u32::from(*flag)),
                    Value::Numbers(numbers) => body.numbers(numbers),
                }
            }
        });
    }

    /// `au`.
    pub(super) fn numbers(&mut self, numbers: &[u32]) {
        self.array(4, |body| numbers.iter().for_each(|n| body.number(*n)));
    }

    /// An empty array of structures.
    pub(super) fn nothing(&mut self) {
        self.array(8, |_| {});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_laid_out_as_specified() {
        let mut body = Body::default();
        body.text("a.scope");
        body.properties(&[("PIDs", Value::Numbers(vec![7])), ("Delegate", Value::Flag(true))]);
        // 12 bytes of text, the array's length, elements from a multiple of 8 on.
        assert_eq!(body.bytes[12..16], 0x2cu32.to_le_bytes());
        assert_eq!(body.bytes[16..20], 4u32.to_le_bytes());
        assert_eq!(&body.bytes[20..29], b"PIDs\0\x02au\0");
        let call = Call {
            destination: None,
            path: "/a",
            interface: "b.c",
            member: "D",
            signature: "s",
            body: Body::default(),
        };
        let bytes = message(3, &call);
        assert_eq!(bytes[..4], [b'l', 1, 0, 1]);
        assert_eq!(bytes[8..12], 3u32.to_le_bytes());
        assert_eq!(bytes[16..18], [1, 1]);
        assert!(bytes.len().is_multiple_of(8));
    }

    #[test]
    fn answers_are_read() {
        let flag = Answer(vec![1, b'b', 0, 0, 1, 0, 0, 0]);
        assert_eq!((flag.flag(), flag.texts()), (Some(true), None));
        let mut list = vec![2, b'a', b's', 0, 13, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Answer(list.clone()).texts(), Some(vec!["a".to_owned(), String::new()]));
        list.truncate(14);
        assert_eq!(Answer(list).texts(), None);
        assert_eq!((Answer(vec![]).flag(), Answer(vec![200, b'b']).flag()), (None, None));
    }

    /// A server of ours on a real socket, for what no real bus would send.
    #[test]
    fn answers_are_found_among_others_and_nonsense_is_an_error() {
        let header = |serial: u32| {
            let mut fields = Body::default();
            fields.bytes.extend_from_slice(&[5, 1, b'u', 0]);
            fields.number(serial);
            fields
        };
        let answer = |kind: u8, serial: u32, text: &str| {
            let (fields, mut body) = (header(serial), Body::default());
            body.text(text);
            let mut message = Body { bytes: vec![b'l', kind, 0, 1] };
            message.number(body.bytes.len() as u32);
            message.number(9);
            message.number(fields.bytes.len() as u32);
            message.bytes.extend_from_slice(&fields.bytes);
            message.align(8);
            message.bytes.extend_from_slice(&body.bytes);
            message.bytes
        };
        for (sent, expected) in [
            ([answer(2, 8, "other"), answer(2, 1, "/job")].concat(), Ok(())),
            ([answer(4, 1, "signal"), answer(3, 1, "no such slice")].concat(), Err("no such slice")),
            (vec![0xff; 64], Err("something that is no message")),
            (b"l\x02".to_vec(), Err("failed to fill whole buffer")),
        ] {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            theirs.write_all(&sent).expect("writes");
            theirs.shutdown(std::net::Shutdown::Write).expect("ends");
            let mut connection = Connection { stream: ours, serial: 0 };
            let call = Call {
                destination: None,
                path: "/",
                interface: "i.i",
                member: "M",
                signature: "",
                body: Body::default(),
            };
            let outcome = connection.call(&call).map(drop).map_err(|e| e.to_string());
            match expected {
                Ok(()) => assert_eq!(outcome, Ok(())),
                Err(words) => assert!(outcome.clone().is_err_and(|e| e.contains(words)), "{outcome:?}"),
            }
        }
    }
}
