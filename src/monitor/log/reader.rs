//! Reading a log from its oldest file to its newest, and following it while it grows and rotates.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

pub(crate) use super::format::Entry;
use super::format::Parser;
use super::{Driver, MOST_FILES, Options, journal_reader, rotated};
use crate::error::{Context, Result};

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Only this many lines from the end of what is there.
    pub tail: Option<u64>,
}

/// Where lines go.
pub(crate) trait Sink {
    /// One line or piece of one; `false` when no more is wanted.
    fn entry(&mut self, entry: &Entry<'_>) -> Result<bool>;
    /// Nothing more is there at the moment.
    fn idle(&mut self) -> Result<()>;
}

/// Reads the log of the container with the directory `dir`. With `follow`, goes on until that process, the monitor,
/// has ended.
pub(crate) fn read(
    options: &Options,
    dir: &Path,
    filter: &Filter,
    follow: Option<&OwnedFd>,
    sink: &mut dyn Sink,
) -> Result<()> {
    if options.driver == Driver::Journald {
        return journal_reader::read(dir, filter, follow, sink);
    }
    let path = options.file(dir);
    let what = || format!("cannot read the log {}", path.display());
    // Before the first look, so that no change is missed between the look and the watch.
    let watch = follow.map(|monitor| Watch::new(&path, monitor)).transpose().context(what)?;
    let mut parser = Parser::new(options.driver);
    let most = options.max_file.unwrap_or(1).clamp(1, MOST_FILES);
    let mut reader = Reader { path: path.clone(), most, file: None, line: Vec::new() };
    reader.begin(filter.tail, &mut parser).context(what)?;
    loop {
        // Asked before reading: what the monitor wrote before its end is read after the answer.
        let ended = watch.as_ref().is_none_or(Watch::ended);
        while let Some(line) = reader.next().context(what)? {
            let Some(entry) = parser.parse(line) else { continue };
            if filter.since.is_some_and(|since| entry.time < since) {
                continue;
            }
            if filter.until.is_some_and(|until| entry.time > until) || !sink.entry(&entry)? {
                return sink.idle();
            }
        }
        sink.idle()?;
        let Some(watch) = watch.as_ref().filter(|_| !ended) else { return Ok(()) };
        let left = filter.until.map(|until| until.duration_since(Timestamp::now()));
        if left.is_some_and(|left| left.is_negative()) {
            return Ok(());
        }
        let left = left.map(|left| Timespec { tv_sec: left.as_secs(), tv_nsec: left.subsec_nanos().into() });
        watch.wait(left.as_ref());
    }
}

/// Changes of the log's directory, and the end of the monitor.
struct Watch<'a> {
    inotify: OwnedFd,
    monitor: &'a OwnedFd,
}

impl<'a> Watch<'a> {
    fn new(path: &Path, monitor: &'a OwnedFd) -> std::io::Result<Self> {
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&inotify, path.parent().unwrap_or(path), flags)?;
        Ok(Self { inotify, monitor })
    }

    fn ended(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(self.monitor, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
    }

    fn wait(&self, left: Option<&Timespec>) {
        let mut fds = [PollFd::new(&self.inotify, PollFlags::IN), PollFd::new(self.monitor, PollFlags::IN)];
        // An interruption only makes the reader look once more.
        let _ = poll(&mut fds, left);
        // Which events does not matter; they only must not pile up.
        while rustix::io::read(&self.inotify, &mut [0; 4096]).is_ok_and(|read| read > 0) {}
    }
}

/// A position in the sequence of files.
struct Reader {
    path: PathBuf,
    /// How many files there may be.
    most: u32,
    file: Option<(BufReader<File>, u64)>,
    /// The line being read; without its end while the monitor is in the middle of writing it.
    line: Vec<u8>,
}

impl Reader {
    /// Goes to the oldest line, or to the `tail`-th from the end.
    fn begin(&mut self, tail: Option<u64>, parser: &mut Parser) -> std::io::Result<()> {
        let oldest = self.files().last().map_or(0, |(age, _)| *age);
        let (mut age, mut offset) = (oldest, 0);
        if let Some(wanted) = tail {
            let mut counter = Counter { parser, wanted, seen: 0, last: true };
            (age, offset) = (0, 0);
            while let Some(file) = open(&rotated(&self.path, age))? {
                if let Some(found) = counter.search(&file)? {
                    offset = found;
                    break;
                }
                if age == oldest {
                    break;
                }
                age += 1;
            }
        }
        self.file = self.open(age)?;
        if let Some((file, _)) = &mut self.file {
            file.seek(SeekFrom::Start(offset))?;
        }
        Ok(())
    }

    /// The file of that age, and its inode.
    fn open(&self, age: u32) -> std::io::Result<Option<(BufReader<File>, u64)>> {
        let Some(file) = open(&rotated(&self.path, age))? else { return Ok(None) };
        let inode = file.metadata()?.ino();
        Ok(Some((BufReader::with_capacity(64 * 1024, file), inode)))
    }

    /// The next line without its line feed; `None` when there is none yet.
    fn next(&mut self) -> std::io::Result<Option<&[u8]>> {
        if self.line.last() == Some(&b'\n') {
            self.line.clear();
        }
        // A file grows until its rotation: what is read after that was seen is all there will be.
        let mut complete = false;
        loop {
            let Some((file, inode)) = &mut self.file else {
                // With --log-driver none, or before the first line.
                self.file = self.open(0)?;
                if self.file.is_none() {
                    return Ok(None);
                }
                continue;
            };
            file.read_until(b'\n', &mut self.line)?;
            if self.line.last() == Some(&b'\n') {
                return Ok(Some(&self.line[..self.line.len() - 1]));
            }
            let inode = *inode;
            let Some((age, younger)) = self.younger(inode) else { return Ok(None) };
            // A rotation between the look and the opening makes it another file.
            if std::mem::replace(&mut complete, true)
                && let Some(file) = self.open(age)?.filter(|(_, inode)| *inode == younger)
            {
                self.file = Some(file);
                complete = false;
                // A line that its file ends without is not continued in the next one.
                self.line.clear();
            }
        }
    }

    /// The file that came after the one with that inode. One that was rotated away for good is older than all.
    fn younger(&self, inode: u64) -> Option<(u32, u64)> {
        let files = self.files();
        let at = files.iter().position(|(_, other)| *other == inode).unwrap_or(files.len());
        files.get(at.checked_sub(1)?).copied()
    }

    /// Ages and inodes, youngest first: what two looks agree on, for a rotation renames one file after the other.
    fn files(&self) -> Vec<(u32, u64)> {
        let mut files = self.look();
        loop {
            let again = self.look();
            if again == files {
                return files;
            }
            files = again;
        }
    }

    fn look(&self) -> Vec<(u32, u64)> {
        let (mut files, mut missing) = (Vec::new(), 0);
        for age in 0..self.most {
            match std::fs::metadata(rotated(&self.path, age)) {
                Ok(meta) => files.push((age, meta.ino())),
                // The one that is about to be renamed, or not there yet; behind two there is nothing.
                Err(_) if missing > 0 => break,
                Err(_) => missing += 1,
            }
        }
        files
    }
}

fn open(path: &Path) -> std::io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Counts lines from the end. A line in pieces counts once: at its last piece, which says F, or as the unfinished one
/// at the very end.
struct Counter<'p> {
    parser: &'p mut Parser,
    wanted: u64,
    seen: u64,
    /// Nothing has been looked at yet.
    last: bool,
}

impl Counter<'_> {
    /// Where the first wanted line begins; `None` when it is in an older file.
    fn search(&mut self, mut file: &File) -> std::io::Result<Option<u64>> {
        const BLOCK: u64 = 64 * 1024;
        let mut end = file.metadata()?.len();
        if self.wanted == 0 {
            return Ok(Some(end));
        }
        // The beginning of a line whose rest is in the block behind this one.
        let mut rest: Vec<u8> = Vec::new();
        while end > 0 {
            let start = end.saturating_sub(BLOCK);
            file.seek(SeekFrom::Start(start))?;
            let mut block = Vec::with_capacity(usize::try_from(end - start).unwrap_or(0) + rest.len());
            file.take(end - start).read_to_end(&mut block)?;
            block.append(&mut rest);
            let mut to = block.len();
            while let Some(feed) = block[..to.saturating_sub(1)].iter().rposition(|b| *b == b'\n') {
                if self.passes(&block[feed + 1..to]) {
                    return Ok(Some(start + to as u64));
                }
                to = feed + 1;
            }
            if start == 0 && self.passes(&block[..to]) {
                return Ok(Some(to as u64));
            }
            block.truncate(to);
            rest = block;
            end = start;
        }
        Ok(None)
    }

    /// Takes one more line into account; `true` when it is already one too many.
    fn passes(&mut self, line: &[u8]) -> bool {
        let whole = self.parser.parse(line.strip_suffix(b"\n").unwrap_or(line)).is_none_or(|entry| !entry.partial);
        if whole || std::mem::take(&mut self.last) {
            self.seen += 1;
        }
        self.last = false;
        self.seen > self.wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::log::writer::Writer;
    use crate::monitor::protocol::Stream;

    struct Lines(Vec<String>);

    impl Sink for Lines {
        fn entry(&mut self, entry: &Entry<'_>) -> Result<bool> {
            let text = String::from_utf8_lossy(&entry.text);
            self.0.push(format!("{}{text}", if entry.partial { "~" } else { "" }));
            Ok(true)
        }

        fn idle(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("rpod-log-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        dir
    }

    fn lines(options: &Options, dir: &Path, tail: Option<u64>) -> Vec<String> {
        let mut lines = Lines(Vec::new());
        read(options, dir, &Filter { tail, ..Filter::default() }, None, &mut lines).expect("reads");
        lines.0
    }

    #[test]
    fn tail_counts_whole_lines() {
        for driver in [Driver::K8sFile, Driver::JsonFile] {
            let dir = scratch(driver.as_str());
            let options = Options { driver, ..Options::default() };
            let mut writer = Writer::open(&options, &dir, "name").expect("opens");
            writer.write(Stream::Stdout, b"one\ntwo\npa");
            writer.write(Stream::Stdout, b"rt\nfour\n");
            assert_eq!(lines(&options, &dir, None), ["one", "two", "~pa", "rt", "four"]);
            assert_eq!(lines(&options, &dir, Some(0)), [""; 0]);
            assert_eq!(lines(&options, &dir, Some(1)), ["four"]);
            assert_eq!(lines(&options, &dir, Some(2)), ["~pa", "rt", "four"]);
            assert_eq!(lines(&options, &dir, Some(3)), ["two", "~pa", "rt", "four"]);
            assert_eq!(lines(&options, &dir, Some(9)).len(), 5);
            writer.write(Stream::Stdout, b"open");
            assert_eq!(lines(&options, &dir, Some(1)), ["~open"]);
            assert_eq!(lines(&options, &dir, Some(2)), ["four", "~open"]);
            std::fs::remove_dir_all(dir).expect("removes");
        }
    }

    #[test]
    fn rotation_keeps_as_many_files_as_asked() {
        let dir = scratch("rotate");
        let options = Options { max_size: Some(300), max_file: Some(3), ..Options::default() };
        let mut writer = Writer::open(&options, &dir, "name").expect("opens");
        for number in 0..100 {
            writer.write(Stream::Stdout, format!("line {number}\n").as_bytes());
        }
        let all = lines(&options, &dir, None);
        assert_eq!(all.last().map(String::as_str), Some("line 99"));
        assert!(all.len() > 10 && all.len() < 21, "{}", all.len());
        assert_eq!(lines(&options, &dir, Some(12)), all[all.len() - 12..]);
        assert_eq!(std::fs::read_dir(&dir).expect("lists").count(), 3);
        std::fs::remove_dir_all(dir).expect("removes");
    }
    /// Writes a lot after the first line was read, as a container does that is faster than whoever reads its log.
    struct Slow {
        writer: Option<Writer>,
        seen: Vec<u32>,
    }

    impl Sink for Slow {
        fn entry(&mut self, entry: &Entry<'_>) -> Result<bool> {
            self.seen.push(String::from_utf8_lossy(&entry.text).parse().expect("a number"));
            if let Some(mut writer) = self.writer.take() {
                (3..100).for_each(|number| writer.write(Stream::Stdout, format!("{number}\n").as_bytes()));
            }
            Ok(true)
        }

        fn idle(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_reader_gets_all_that_is_kept() {
        let dir = scratch("slow");
        let options = Options { max_size: Some(300), max_file: Some(4), ..Options::default() };
        let mut writer = Writer::open(&options, &dir, "name").expect("opens");
        writer.write(Stream::Stdout, b"0\n1\n2\n");
        let mut slow = Slow { writer: Some(writer), seen: Vec::new() };
        read(&options, &dir, &Filter::default(), None, &mut slow).expect("reads");
        let kept: Vec<u32> = lines(&options, &dir, None).iter().filter_map(|line| line.parse().ok()).collect();
        assert!(kept.len() > 18 && kept.last() == Some(&99), "{kept:?}");
        assert!(slow.seen.starts_with(&[0, 1, 2, 3]), "{:?}", slow.seen);
        assert!(slow.seen.ends_with(&kept), "{:?}", slow.seen);
        std::fs::remove_dir_all(dir).expect("removes");
    }
}
