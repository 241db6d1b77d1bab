//! Lines as journald takes them: one datagram of `NAME=value` lines to its socket (systemd, "Native Journal Protocol").
//!
//! The fields are those of conmon, so that `journalctl CONTAINER_NAME=web` shows the containers of both; one of our own marks
//! where a run's output ends, because what was sent a moment ago may not be there to be read yet.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Options;
use crate::error::{Context, Result};
use crate::monitor::protocol::Stream;
use crate::state::id;

/// Where journald listens.
pub(crate) const SOCKET: &str = "/run/systemd/journal/socket";

/// The field of the entry behind a run's last line.
pub(crate) const END: &str = "RPOD_LOG_END";

/// A journald that does not take a line within this time does without it: the container is not to stand still.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to the journal.
#[derive(Debug)]
pub(crate) struct Journal {
    socket: UnixDatagram,
    to: PathBuf,
    /// What all entries have in common.
    fields: Vec<u8>,
}

impl Journal {
    /// The journal at `to`, for the container `id`.
    pub(super) fn open(to: &Path, options: &Options, id: &str, name: &str) -> Result<Self> {
        let what = || format!("cannot reach journald at {}", to.display());
        // Nobody there is told now; one that goes away later loses lines.
        UnixDatagram::unbound().and_then(|probe| probe.connect(to)).context(what)?;
        let socket = UnixDatagram::unbound().context(what)?;
        socket.set_write_timeout(Some(PATIENCE)).context(what)?;
        let mut fields = Vec::new();
        field(&mut fields, "CONTAINER_ID", id::short(id).as_bytes());
        field(&mut fields, "CONTAINER_ID_FULL", id.as_bytes());
        field(&mut fields, "CONTAINER_NAME", name.as_bytes());
        let mut identifier = name;
        if !options.tag.is_empty() {
            field(&mut fields, "CONTAINER_TAG", options.tag.as_bytes());
            identifier = &options.tag;
        }
        field(&mut fields, "SYSLOG_IDENTIFIER", identifier.as_bytes());
        for (name, value) in options.attributes.iter().filter(|(name, _)| *name != "tag") {
            field(&mut fields, &attribute(name), value.as_bytes());
        }
        Ok(Self { socket, to: to.to_path_buf(), fields })
    }

    /// One line, or a piece of one.
    pub(super) fn send(&self, stream: Stream, text: &[u8], partial: bool) {
        let mut entry = self.fields.clone();
        field(&mut entry, "PRIORITY", if stream == Stream::Stdout { b"6" } else { b"3" });
        if partial {
            field(&mut entry, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        field(&mut entry, "MESSAGE", text);
        self.put(&entry);
    }

    /// The program has ended, and all of its output was sent.
    pub(super) fn end(&self) {
        let mut entry = self.fields.clone();
        field(&mut entry, "PRIORITY", b"7");
        field(&mut entry, END, b"1");
        field(&mut entry, "MESSAGE", b"the container's output ends");
        self.put(&entry);
    }

    /// Best effort, as with a log file on a full disk. By its address each time: journald may be another process by now.
    fn put(&self, entry: &[u8]) {
        let _ = self.socket.send_to(entry, &self.to);
    }
}

/// A label's or variable's name as a field's: capitals, digits and `_`, which it does not begin with (systemd.journal-fields(7)).
fn attribute(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    let plain: String = plain.take(64).collect();
    match plain.trim_start_matches(|c: char| c == '_' || c.is_ascii_digit()) {
        "" => "LABEL".to_owned(),
        name => name.to_owned(),
    }
}

/// `NAME=value`, or with the length before it where the value has line feeds.
fn field(entry: &mut Vec<u8>, name: &str, value: &[u8]) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::monitor::log::Driver;

    /// A datagram socket of the test's own: what goes over it, not what journald makes of it.
    #[test]
    fn entries_are_datagrams_of_fields() {
        let path = std::env::temp_dir().join(format!("rpod-journal-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let options = Options {
            driver: Driver::Journald,
            tag: "a\nb".into(),
            attributes: BTreeMap::from([("tag".into(), "a\nb".into()), ("com.example".into(), "v".into())]),
            ..Options::default()
        };
        let id = "0123456789abcdef".repeat(4);
        let error = Journal::open(&path, &options, &id, "web").expect_err("nobody is there").to_string();
        assert!(error.starts_with("cannot reach journald at /"), "{error}");
        let journald = UnixDatagram::bind(&path).expect("binds");
        let journal = Journal::open(&path, &options, &id, "web").expect("opens");
        journal.send(Stream::Stderr, b"hi \xff", true);
        journal.end();
        let mut buffer = [0; 4096];
        let read = journald.recv(&mut buffer).expect("hears");
        let length = b"\x03\0\0\0\0\0\0\0a\nb\n";
        let common = format!("CONTAINER_ID=0123456789ab\nCONTAINER_ID_FULL={id}\nCONTAINER_NAME=web\nCONTAINER_TAG\n");
        let expected = [
            common.as_bytes(),
            length,
            b"SYSLOG_IDENTIFIER\n",
            length,
            b"COM_EXAMPLE=v\nPRIORITY=3\nCONTAINER_PARTIAL_MESSAGE=true\nMESSAGE=hi \xff\n",
        ];
        assert_eq!(buffer[..read], expected.concat());
        let read = journald.recv(&mut buffer).expect("hears");
        assert!(String::from_utf8_lossy(&buffer[..read]).contains("RPOD_LOG_END=1\n"));
        // Another journald takes over; none at all loses lines and nothing else.
        drop(journald);
        std::fs::remove_file(&path).expect("removes");
        journal.send(Stream::Stdout, b"lost", false);
        let journald = UnixDatagram::bind(&path).expect("binds");
        journal.send(Stream::Stdout, b"heard", false);
        let read = journald.recv(&mut buffer).expect("hears");
        assert!(buffer[..read].ends_with(b"PRIORITY=6\nMESSAGE=heard\n"));
        std::fs::remove_file(&path).expect("removes");
    }

    #[test]
    fn names_of_fields() {
        for (name, wanted) in [("a.b-c", "A_B_C"), ("_X", "X"), ("1", "LABEL"), ("é1", "LABEL"), ("PATH", "PATH")] {
            assert_eq!(attribute(name), wanted, "{name}");
        }
    }
}
