//! Reading a container's lines back from systemd's journal, with journalctl: its files are in a format of its own, and which
//! of them a user may read is its business as well.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;
use serde_json::Value;

use super::journal::END;
use super::reader::{Entry, Filter, Sink};
use crate::error::{Context, Error, Result};
use crate::monitor::protocol::Stream;

const PROGRAM: &str = "journalctl";

/// How long after a run's end its last lines are waited for: journald may still be writing them.
const LATE: Duration = Duration::from_secs(1);

/// What is asked of journalctl, as `-o json` writes it.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "__CURSOR", default)]
    cursor: String,
    /// Microseconds since 1970.
    #[serde(rename = "__REALTIME_TIMESTAMP", default)]
    time: String,
    /// Text, or an array of bytes where it is not UTF-8.
    #[serde(rename = "MESSAGE", default)]
    message: Value,
    #[serde(rename = "PRIORITY", default)]
    priority: String,
    #[serde(rename = "CONTAINER_PARTIAL_MESSAGE", default)]
    partial: Option<String>,
    #[serde(rename = "RPOD_LOG_END", default)]
    end: Option<String>,
}

impl Line {
    fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    fn entry(&self) -> Option<Entry<'static>> {
        let time = Timestamp::from_microsecond(self.time.parse().ok()?).ok()?;
        let text = match &self.message {
            Value::String(text) => text.clone().into_bytes(),
            Value::Array(bytes) => bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect(),
            _ => Vec::new(),
        };
        let stream = if self.priority == "3" { Stream::Stderr } else { Stream::Stdout };
        Some(Entry { time, stream, text: text.into(), partial: self.partial.is_some() })
    }
}

/// journalctl at work on one container's entries.
struct Query {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Query {
    fn new(id: &str, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(PROGRAM)
            .args(["--quiet", "--no-pager", "--all", "--output=json"])
            .arg(format!("--output-fields=MESSAGE,PRIORITY,CONTAINER_PARTIAL_MESSAGE,{END}"))
            .args(arguments)
            .arg(format!("CONTAINER_ID_FULL={id}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| {
                Error::wrap(format!("cannot run {PROGRAM}, which reads logs of the driver journald"), e)
                    .hint("it is part of systemd")
            })?;
        let output = child.stdout.take().ok_or_else(|| Error::new(format!("{PROGRAM} has no output")))?;
        Ok(Self { child, lines: BufReader::new(output) })
    }

    /// The next entry; `None` at the end.
    fn next(&mut self) -> Result<Option<Line>> {
        let mut text = Vec::new();
        loop {
            text.clear();
            let read = self.lines.read_until(b'\n', &mut text).context(|| format!("cannot read from {PROGRAM}"))?;
            if read == 0 {
                return Ok(None);
            }
            if let Some(line) = Line::parse(&text) {
                return Ok(Some(line));
            }
        }
    }

    /// After the end: whether it had anything to complain about. That nothing matches is no complaint.
    fn finish(mut self) -> Result<()> {
        let mut said = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            let _ = errors.read_to_string(&mut said);
        }
        let ended = self.child.wait().context(|| format!("cannot wait for {PROGRAM}"))?;
        match ended.success() || said.trim().is_empty() {
            true => Ok(()),
            false => Err(Error::new(format!("{PROGRAM} cannot read the journal: {}", said.trim()))
                .hint("members of the group systemd-journal may read all of it")),
        }
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        // It has ended, or is not wanted any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As [`super::reader::read`].
pub(super) fn read(dir: &Path, filter: &Filter, follow: Option<&OwnedFd>, sink: &mut dyn Sink) -> Result<()> {
    let id = dir.file_name().map(|id| id.to_string_lossy().into_owned()).unwrap_or_default();
    let mut reader = Reader { id, filter, sink, cursor: String::new(), ended: false };
    let more = match filter.tail {
        Some(wanted) => reader.tail(wanted)?,
        None => reader.rest()?,
    };
    match follow {
        Some(monitor) if more => reader.follow(monitor),
        None if more => reader.late(),
        _ => Ok(()),
    }
}

struct Reader<'a> {
    id: String,
    filter: &'a Filter,
    sink: &'a mut dyn Sink,
    /// Of the last entry that was read.
    cursor: String,
    /// That entry was the end of a run.
    ended: bool,
}

impl Reader<'_> {
    /// Where to go on.
    fn after(&self) -> Vec<String> {
        if self.cursor.is_empty() { Vec::new() } else { vec![format!("--after-cursor={}", self.cursor)] }
    }

    /// Takes one entry; `false` when no more is wanted.
    fn take(&mut self, line: Line) -> Result<bool> {
        self.ended = line.end.is_some();
        let entry = if self.ended { None } else { line.entry() };
        self.cursor = line.cursor;
        let Some(entry) = entry else { return Ok(true) };
        if self.filter.since.is_some_and(|since| entry.time < since) {
            return Ok(true);
        }
        if self.filter.until.is_some_and(|until| entry.time > until) {
            return Ok(false);
        }
        self.sink.entry(&entry)
    }

    /// Everything that is there and was not read yet.
    fn rest(&mut self) -> Result<bool> {
        let after = self.after();
        let mut query = Query::new(&self.id, &after.iter().map(String::as_str).collect::<Vec<_>>())?;
        while let Some(line) = query.next()? {
            if !self.take(line)? {
                self.sink.idle()?;
                return Ok(false);
            }
        }
        query.finish()?;
        self.sink.idle()?;
        Ok(true)
    }

    /// The last lines of what is there: read from the end until there are enough.
    fn tail(&mut self, wanted: u64) -> Result<bool> {
        let mut query = Query::new(&self.id, &["--reverse"])?;
        let (mut found, mut whole) = (Vec::new(), 0);
        while let Some(line) = query.next()? {
            if found.is_empty() {
                (self.cursor, self.ended) = (line.cursor.clone(), line.end.is_some());
            }
            let counts = line.end.is_none() && (line.partial.is_none() || found.is_empty());
            whole += u64::from(counts);
            if whole > wanted {
                break;
            }
            found.push(line);
        }
        let (cursor, ended) = (self.cursor.clone(), self.ended);
        for line in found.into_iter().rev() {
            if !self.take(line)? {
                return Ok(false);
            }
        }
        (self.cursor, self.ended) = (cursor, ended);
        self.sink.idle()?;
        Ok(true)
    }

    /// A container that has ended: its last lines may be on their way.
    fn late(&mut self) -> Result<()> {
        let deadline = Instant::now() + LATE;
        while !self.ended && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
            if !self.rest()? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Goes on until the monitor has ended and so has what its container wrote.
    fn follow(&mut self, monitor: &OwnedFd) -> Result<()> {
        let after = self.after();
        let mut arguments = vec!["--follow", "--no-tail"];
        arguments.extend(after.iter().map(String::as_str));
        let mut query = Query::new(&self.id, &arguments)?;
        let mut gone = None;
        loop {
            if query.lines.buffer().is_empty() {
                self.sink.idle()?;
                let wait = |until: Option<Timestamp>| until.map(|until| until.duration_since(Timestamp::now()));
                let left = wait(self.filter.until);
                let late = gone.map(|at: Instant| LATE.saturating_sub(at.elapsed()));
                if left.is_some_and(|left| left.is_negative()) || late.is_some_and(|late| late.is_zero()) {
                    return Ok(());
                }
                let left = left.and_then(|left| Duration::try_from(left).ok()).into_iter().chain(late).min();
                let left = left.and_then(|left| Timespec::try_from(left).ok());
                let output = query.lines.get_ref().as_fd();
                let mut fds = vec![PollFd::from_borrowed_fd(output, PollFlags::IN)];
                if gone.is_none() {
                    fds.push(PollFd::new(monitor, PollFlags::IN));
                }
                // An interruption only makes us look once more.
                let _ = poll(&mut fds, left.as_ref());
                if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
                    gone = Some(Instant::now());
                    if self.ended {
                        return Ok(());
                    }
                }
                if fds[0].revents().is_empty() {
                    continue;
                }
            }
            let Some(line) = query.next()? else { return query.finish() };
            if !self.take(line)? || self.ended && gone.is_some() {
                return self.sink.idle();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_as_journalctl_writes_them() {
        let line = |text: &str| Line::parse(text.as_bytes()).and_then(|line| line.entry());
        let entry =
            line(r#"{"__REALTIME_TIMESTAMP":"1767312000000001","MESSAGE":"hi","PRIORITY":"6","__CURSOR":"s=1"}"#);
        let entry = entry.expect("an entry");
        assert_eq!((entry.time.to_string().as_str(), &*entry.text), ("2026-01-02T00:00:00.000001Z", &b"hi"[..]));
        assert_eq!((entry.stream, entry.partial), (Stream::Stdout, false));
        let entry = line(
            r#"{"__REALTIME_TIMESTAMP":"1","MESSAGE":[104,255],"PRIORITY":"3","CONTAINER_PARTIAL_MESSAGE":"true"}"#,
        );
        let entry = entry.expect("an entry");
        assert_eq!((&*entry.text, entry.stream, entry.partial), (&b"h\xff"[..], Stream::Stderr, true));
        assert!(line(r#"{"MESSAGE":null}"#).is_none() && Line::parse(b"-- No entries --").is_none());
    }
}
