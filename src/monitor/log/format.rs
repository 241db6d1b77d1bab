//! One line of a log as bytes.

use std::io::Write;

use jiff::Timestamp;

use super::Driver;
use crate::monitor::protocol::Stream;

/// A line, or a piece of one, as it was read from a log file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub time: Timestamp,
    pub stream: Stream,
    /// Without the line feed.
    pub text: std::borrow::Cow<'a, [u8]>,
    /// More of the same line follows.
    pub partial: bool,
}

/// The time of lines as logs have it: RFC 3339 with all nanoseconds.
pub(super) fn stamp(time: &Timestamp) -> String {
    format!("{time:.9}")
}

/// Appends `text` (without its line feed) as one line of the log.
///
/// `stamp` is its time as [`stamp`] writes it, `attributes` a JSON object for a json-file, or empty.
pub(super) fn write(
    out: &mut Vec<u8>,
    driver: Driver,
    stamp: &str,
    stream: Stream,
    text: &[u8],
    partial: bool,
    attributes: &str,
) {
    match driver {
        Driver::Journald | Driver::None | Driver::Passthrough | Driver::PassthroughTty => {}
        Driver::K8sFile => {
            out.extend_from_slice(stamp.as_bytes());
            out.push(b' ');
            out.extend_from_slice(stream.as_str().as_bytes());
            out.extend_from_slice(if partial { b" P " } else { b" F " });
            out.extend_from_slice(text);
            out.push(b'\n');
        }
        Driver::JsonFile => {
            out.extend_from_slice(b"{\"log\":\"");
            json_escape(out, text);
            if !partial {
                out.extend_from_slice(b"\\n");
            }
            // Writing to a Vec cannot fail.
            let _ = write!(out, "\",\"stream\":\"{}\"", stream.as_str());
            if !attributes.is_empty() {
                let _ = write!(out, ",\"attrs\":{attributes}");
            }
            let _ = writeln!(out, ",\"time\":\"{stamp}\"}}");
        }
    }
}

/// JSON cannot hold bytes that are not UTF-8: they become U+FFFD, as Docker does it.
fn json_escape(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b'\t' => out.extend_from_slice(b"\\t"),
                b'\r' => out.extend_from_slice(b"\\r"),
                0..0x20 => {
                    let _ = write!(out, "\\u{byte:04x}");
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Reads lines of a log. Lines that were written at once have one time, which is not read again for each.
#[derive(Debug)]
pub(super) struct Parser {
    driver: Driver,
    stamp: Vec<u8>,
    time: Timestamp,
}

impl Parser {
    pub(super) fn new(driver: Driver) -> Self {
        Self { driver, stamp: Vec::new(), time: Timestamp::UNIX_EPOCH }
    }

    /// Reads one line (without its line feed); `None` for what rpod did not write.
    pub(super) fn parse<'l>(&mut self, line: &'l [u8]) -> Option<Entry<'l>> {
        match self.driver {
            Driver::Journald | Driver::None | Driver::Passthrough | Driver::PassthroughTty => None,
            Driver::K8sFile => {
                let mut fields = line.splitn(4, |b| *b == b' ');
                let time = self.time(fields.next()?)?;
                let stream = stream(fields.next()?)?;
                let partial = match fields.next()? {
                    b"P" => true,
                    b"F" => false,
                    _ => return None,
                };
                Some(Entry { time, stream, text: fields.next()?.into(), partial })
            }
            Driver::JsonFile => {
                #[derive(serde::Deserialize)]
                struct Line<'l> {
                    log: String,
                    stream: &'l str,
                    time: &'l str,
                }
                let line: Line<'_> = serde_json::from_slice(line).ok()?;
                let time = self.time(line.time.as_bytes())?;
                let stream = stream(line.stream.as_bytes())?;
                let mut text = line.log.into_bytes();
                let partial = text.last() != Some(&b'\n');
                if !partial {
                    text.pop();
                }
                Some(Entry { time, stream, text: text.into(), partial })
            }
        }
    }

    fn time(&mut self, stamp: &[u8]) -> Option<Timestamp> {
        if stamp != self.stamp {
            self.time = std::str::from_utf8(stamp).ok()?.parse().ok()?;
            self.stamp.clear();
            self.stamp.extend_from_slice(stamp);
        }
        Some(self.time)
    }
}

fn stream(name: &[u8]) -> Option<Stream> {
    match name {
        b"stdout" => Some(Stream::Stdout),
        b"stderr" => Some(Stream::Stderr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_round_trip() {
        let time: Timestamp = "2026-01-02T03:04:05.123456789Z".parse().expect("a time");
        for driver in [Driver::K8sFile, Driver::JsonFile] {
            for (text, partial) in [(&b"plain"[..], false), (b"", false), (b"a \"b\" \\ \t\x01 c", true)] {
                let mut line = Vec::new();
                write(&mut line, driver, &stamp(&time), Stream::Stderr, text, partial, "");
                assert_eq!(line.pop(), Some(b'\n'));
                let expected = Entry { time, stream: Stream::Stderr, text: text.into(), partial };
                assert_eq!(Parser::new(driver).parse(&line), Some(expected), "{driver:?} {text:?}");
            }
        }
    }

    #[test]
    fn the_formats_are_those_of_the_other_tools() {
        let time: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let mut line = Vec::new();
        write(&mut line, Driver::K8sFile, &stamp(&time), Stream::Stdout, b"hi", false, "");
        write(&mut line, Driver::JsonFile, &stamp(&time), Stream::Stdout, b"hi\xff", false, "{\"a\":\"b\"}");
        assert_eq!(
            String::from_utf8(line).expect("text"),
            "2026-01-02T03:04:05.000000000Z stdout F hi\n\
             {\"log\":\"hi\u{fffd}\\n\",\"stream\":\"stdout\",\"attrs\":{\"a\":\"b\"},\"time\":\"2026-01-02T03:04:05.000000000Z\"}\n"
        );
    }

    #[test]
    fn foreign_lines_are_not_entries() {
        for line in [&b""[..], b"2026-01-02T03:04:05Z stdout", b"x stdout F y", b"2026-01-02T03:04:05Z out F y"] {
            assert_eq!(Parser::new(Driver::K8sFile).parse(line), None);
        }
        assert_eq!(Parser::new(Driver::JsonFile).parse(b"{\"log\":1}"), None);
    }
}
