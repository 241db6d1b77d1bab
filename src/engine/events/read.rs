//! Reading events, oldest first, and waiting for those to come.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use super::{Event, Filters};
use crate::error::{Context, Result};
use crate::state::events::{directory, newest, previous};
use crate::state::paths::{Dirs, create_private};

/// Which events are wanted.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub filters: Filters,
    /// Go on with those that happen from now on; without `since`, begin with them.
    pub stream: bool,
}

/// Hands every event that is wanted to `show`, which answers whether it wants more; `idle` is called before waiting.
pub(crate) fn read(
    dirs: &Dirs,
    wanted: &Wanted,
    show: &mut dyn FnMut(&Event<'_>) -> Result<bool>,
    idle: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let directory = directory(dirs);
    create_private(&directory)?;
    let what = || format!("cannot read the events in {}", directory.display());
    // Before the first look, so that nothing falls between the look and the watch.
    let watch = wanted.stream.then(|| watch(&directory)).transpose().context(what)?;
    let begin = Timestamp::now();
    let since = wanted.since.or_else(|| wanted.stream.then_some(begin));
    let mut log = open(&newest(&directory)).context(what)?;
    let mut chosen = |line: &[u8]| -> Result<bool> {
        // A line that a full disk cut short is not an event.
        let Ok(event) = serde_json::from_slice::<Event<'_>>(line) else { return Ok(true) };
        let time = Timestamp::from_nanosecond(event.time_nano.into()).unwrap_or_default();
        if since.is_some_and(|since| time < since) || !wanted.filters.match_all(&event) {
            return Ok(true);
        }
        if wanted.until.is_some_and(|until| time > until) {
            return Ok(true);
        }
        show(&event)
    };
    if let Some(mut older) = open(&previous(&directory)).context(what)?
        && log.as_ref().is_none_or(|log| log.inode != older.inode)
        && !older.lines(&mut chosen, &what)?
    {
        return Ok(());
    }
    loop {
        // Asked before reading: what was renamed is complete once something newer is there.
        let successor = match (&log, open(&newest(&directory)).context(what)?) {
            (Some(log), Some(newer)) if newer.inode == log.inode => None,
            (_, newer) => newer,
        };
        if let Some(log) = &mut log
            && !log.lines(&mut chosen, &what)?
        {
            return Ok(());
        }
        if let Some(successor) = successor {
            log = Some(successor);
            continue;
        }
        idle()?;
        let Some(watch) = &watch else { return Ok(()) };
        let left = wanted.until.map(|until| until.duration_since(Timestamp::now()));
        if left.is_some_and(|left| !left.is_positive()) {
            return Ok(());
        }
        wait(watch, left.map(|left| Timespec { tv_sec: left.as_secs(), tv_nsec: left.subsec_nanos().into() }));
    }
}

fn watch(directory: &Path) -> std::io::Result<OwnedFd> {
    let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&inotify, directory, inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE)?;
    Ok(inotify)
}

fn wait(watch: &OwnedFd, left: Option<Timespec>) {
    // An interruption only makes the reader look once more.
    let _ = poll(&mut [PollFd::new(watch, PollFlags::IN)], left.as_ref());
    // Which changes does not matter; they only must not pile up.
    while rustix::io::read(watch, &mut [0; 4096]).is_ok_and(|read| read > 0) {}
}

/// A log being read.
struct Log {
    file: BufReader<File>,
    inode: u64,
    /// The line being read; without its end while somebody is in the middle of writing it.
    line: Vec<u8>,
}

fn open(path: &Path) -> std::io::Result<Option<Log>> {
    match File::open(path) {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some(Log { file: BufReader::new(file), inode, line: Vec::new() }))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

impl Log {
    /// Every whole line that is there; `false` when no more are wanted.
    fn lines(&mut self, each: &mut dyn FnMut(&[u8]) -> Result<bool>, what: &dyn Fn() -> String) -> Result<bool> {
        loop {
            self.file.read_until(b'\n', &mut self.line).context(what)?;
            if self.line.last() != Some(&b'\n') {
                return Ok(true);
            }
            let more = each(&self.line)?;
            self.line.clear();
            if !more {
                return Ok(false);
            }
        }
    }
}
