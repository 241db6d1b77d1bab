//! What happened on this host, one JSON object per line, kept across reboots.
//!
//! ```text
//! host/events/log      the newest; appended to with one write(2) on an O_APPEND descriptor, so lines never mix
//! host/events/log.1    the one before: a log that has grown past its limit is renamed
//! ```
//!
//! The objects are those of `podman events --format json`. Nothing waits for the disk, and a log that cannot be written
//! (disk full) stops no command: an event is a note about something that has happened already.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::paths::{Dirs, create_private};

/// Bytes after which a new log is begun.
const LIMIT: u64 = 4 << 20;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    Container,
    Image,
    Volume,
    Network,
    Pod,
    Secret,
    System,
}

impl Subject {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Pod => "pod",
            Self::Secret => "secret",
            Self::System => "system",
        }
    }
}

/// One event, with the field names of Podman's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event<'e> {
    #[serde(rename = "ContainerExitCode", default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    #[serde(rename = "ID", default, skip_serializing_if = "str::is_empty")]
    pub id: Cow<'e, str>,
    #[serde(rename = "Image", default, skip_serializing_if = "str::is_empty")]
    pub image: Cow<'e, str>,
    #[serde(rename = "Name", default, skip_serializing_if = "str::is_empty")]
    pub name: Cow<'e, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub network: Cow<'e, str>,
    /// What happened, in Podman's words: create, start, died, pull …
    #[serde(rename = "Status")]
    pub status: Cow<'e, str>,
    /// Seconds since 1970.
    pub time: i64,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
    #[serde(rename = "Type")]
    pub subject: Subject,
    /// Why an image could not be pulled.
    #[serde(rename = "Error", default, skip_serializing_if = "str::is_empty")]
    pub error: Cow<'e, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub health_status: Cow<'e, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_failing_streak: Option<u32>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub health_log: Cow<'e, str>,
    /// A container's labels, a network's driver.
    #[serde(rename = "Attributes", default)]
    pub attributes: Option<Cow<'e, BTreeMap<String, String>>>,
}

impl<'e> Event<'e> {
    /// That `status` has just happened to a thing of this kind.
    pub(crate) fn new(subject: Subject, status: &'e str) -> Self {
        let now = Timestamp::now();
        let empty = Cow::Borrowed("");
        Self {
            exit_code: None,
            id: empty.clone(),
            image: empty.clone(),
            name: empty.clone(),
            network: empty.clone(),
            status: status.into(),
            time: now.as_second(),
            time_nano: i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX),
            subject,
            error: empty.clone(),
            health_status: empty.clone(),
            health_failing_streak: None,
            health_log: empty,
            attributes: None,
        }
    }
}

/// A container as its events name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'e> {
    pub id: &'e str,
    pub image: &'e str,
    pub name: &'e str,
    pub labels: &'e BTreeMap<String, String>,
}

impl<'e> Named<'e> {
    pub(crate) fn event(&self, status: &'e str) -> Event<'e> {
        Event {
            id: self.id.into(),
            image: self.image.into(),
            name: self.name.into(),
            attributes: Some(Cow::Borrowed(self.labels)),
            ..Event::new(Subject::Container, status)
        }
    }
}

/// The directory of the logs.
pub(crate) fn directory(dirs: &Dirs) -> PathBuf {
    dirs.host.join("events")
}

/// The newest log.
pub(crate) fn newest(directory: &Path) -> PathBuf {
    directory.join("log")
}

/// The log before the newest.
pub(crate) fn previous(directory: &Path) -> PathBuf {
    directory.join("log.1")
}

/// Adds events to the logs of `directory`; best effort (see the module).
pub(crate) fn append(directory: &Path, events: &[Event<'_>]) {
    let mut lines = Vec::with_capacity(512);
    for event in events {
        if serde_json::to_writer(&mut lines, event).is_err() {
            return;
        }
        lines.push(b'\n');
    }
    // There is nobody to tell.
    let _ = write(directory, &lines, LIMIT);
}

fn write(directory: &Path, lines: &[u8], limit: u64) -> std::io::Result<()> {
    let path = newest(directory);
    let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
    let mut file = match open() {
        Err(e) if e.kind() == ErrorKind::NotFound && create_private(directory).is_ok() => open()?,
        result => result?,
    };
    file.write_all(lines)?;
    if file.stream_position()? > limit {
        rotate(directory, &file)?;
    }
    Ok(())
}

/// Makes `file` the previous log, unless somebody else does or has done so.
fn rotate(directory: &Path, file: &File) -> std::io::Result<()> {
    if flock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    let path = newest(directory);
    if std::fs::metadata(&path)?.ino() == file.metadata()?.ino() {
        std::fs::rename(path, previous(directory))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_becomes_the_previous_one() {
        let dir = std::env::temp_dir().join(format!("rpod-events-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        for number in 0..10 {
            write(&dir, format!("line {number}\n").as_bytes(), 20).expect("writes");
        }
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(read(previous(&dir)), "line 6\nline 7\nline 8\n");
        assert_eq!(read(newest(&dir)), "line 9\n");
        std::fs::remove_dir_all(dir).expect("removes");
    }

    #[test]
    fn the_object_is_podmans() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let event = Event {
            id: "05".into(),
            image: "localhost/bb:latest".into(),
            name: "e1".into(),
            time: 1,
            time_nano: 1_000_000_002,
            exit_code: Some(3),
            attributes: Some(Cow::Owned(labels)),
            ..Event::new(Subject::Container, "died")
        };
        let text = serde_json::to_string(&event).expect("encodes");
        assert_eq!(
            text,
            "{\"ContainerExitCode\":3,\"ID\":\"05\",\"Image\":\"localhost/bb:latest\",\"Name\":\"e1\",\"Status\":\"died\",\
             \"time\":1,\"timeNano\":1000000002,\"Type\":\"container\",\"Attributes\":{\"a\":\"b\"}}"
        );
        assert_eq!(serde_json::from_str::<Event<'_>>(&text).expect("decodes"), event);
    }
}
