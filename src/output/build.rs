//! How a build is shown: Podman's lines, with the stage in front where there are several, the time that each step took,
//! and nothing else that a log would not want.

use std::collections::BTreeMap;
use std::io::Write;

use super::escape;
use super::ui::Ui;
use crate::build::{Event, Reporter};

/// A reporter that is told when there will be no image.
pub(crate) trait View: Reporter {
    /// Shows what a program wrote last, when it has not been shown. Why there is no image is shown after it.
    fn fail(&mut self, why: &str);
}

/// Where lines go.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Standard output and standard error.
    Standard,
    File(std::fs::File),
}

/// Lines as they come: for logs and terminals alike.
pub(crate) struct Plain<'a> {
    ui: &'a Ui,
    sink: Sink,
    quiet: bool,
    /// Number in the order of building, out of how many.
    places: BTreeMap<usize, usize>,
    /// Of each stage: what it writes is held back until a line is whole when several write at once.
    pending: BTreeMap<(usize, bool), Vec<u8>>,
    /// Whether a program has left a line without its end on standard output, and on standard error.
    open: [bool; 2],
    /// The end of what was written while nothing was to be shown.
    tail: Vec<u8>,
}

/// Bytes of output that are shown when a quiet build fails.
const TAIL: usize = 4096;
/// Bytes of a line that are held back; a longer one is shown in parts.
const LINE: usize = 64 << 10;

impl<'a> Plain<'a> {
    pub(crate) fn new(ui: &'a Ui, sink: Sink, quiet: bool) -> Self {
        Self { ui, sink, quiet, places: BTreeMap::new(), pending: BTreeMap::new(), open: [false; 2], tail: Vec::new() }
    }

    fn prefix(&self, stage: usize) -> String {
        match self.places.get(&stage) {
            Some(place) if self.places.len() > 1 => format!("[{place}/{}] ", self.places.len()),
            _ => String::new(),
        }
    }

    fn line(&mut self, stage: usize, text: &str) {
        if self.quiet {
            return;
        }
        self.close();
        let line = format!("{}{}\n", self.prefix(stage), escape::text(text));
        self.write(false, line.as_bytes());
    }

    /// Ends what a program has left without a line end.
    fn close(&mut self) {
        for (stderr, open) in [false, true].into_iter().zip(std::mem::take(&mut self.open)) {
            if open {
                self.write(stderr, b"\n");
            }
        }
    }

    fn write(&mut self, stderr: bool, bytes: &[u8]) {
        // A reader that goes away ends the display, not the work.
        match &mut self.sink {
            Sink::File(file) => drop(file.write_all(bytes)),
            Sink::Standard if stderr => self.ui.stderr_bytes(bytes),
            Sink::Standard => drop(self.ui.bytes(bytes).and_then(|()| self.ui.flush())),
        }
    }

    /// Whole lines with the stage in front.
    fn lines(&mut self, stage: usize, stderr: bool, bytes: &[u8]) {
        let prefix = self.prefix(stage);
        let pending = self.pending.entry((stage, stderr)).or_default();
        pending.extend_from_slice(bytes);
        let end = pending.iter().rposition(|byte| *byte == b'\n');
        let Some(end) = end.or((pending.len() >= LINE).then_some(pending.len() - 1)) else { return };
        let whole: Vec<u8> = pending.drain(..=end).collect();
        let mut out = Vec::with_capacity(whole.len() + 64);
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            out.extend_from_slice(prefix.as_bytes());
            out.extend_from_slice(line);
        }
        self.write(stderr, &out);
    }

    fn flush_all(&mut self) {
        let stages: Vec<usize> = self.places.keys().copied().collect();
        stages.into_iter().for_each(|stage| self.flush(stage));
    }

    /// What has no line end.
    fn flush(&mut self, stage: usize) {
        for stderr in [false, true] {
            if let Some(mut rest) = self.pending.remove(&(stage, stderr)).filter(|rest| !rest.is_empty()) {
                rest.push(b'\n');
                let prefix = self.prefix(stage).into_bytes();
                self.write(stderr, &[prefix, rest].concat());
            }
        }
    }
}

impl Reporter for Plain<'_> {
    fn stages(&mut self, stages: &[(usize, Option<String>)]) {
        self.places = stages.iter().enumerate().map(|(place, (index, _))| (*index, place + 1)).collect();
    }

    fn event(&mut self, stage: usize, event: Event) {
        match event {
            Event::Begin { step, total, text } => self.line(stage, &format!("STEP {step}/{total}: {text}")),
            Event::Cached { id } => {
                self.line(stage, &format!("--> Using cache {id}"));
                self.line(stage, &format!("--> {id} CACHED"));
            }
            Event::Done { id, milliseconds } => {
                self.flush(stage);
                let time = match milliseconds {
                    0..100 => String::new(),
                    _ => format!(" ({}.{}s)", milliseconds / 1000, milliseconds % 1000 / 100),
                };
                self.line(stage, &format!("--> {id}{time}"));
            }
            Event::Warning { text } => {
                let prefix = self.prefix(stage);
                self.ui.warn(format!("{prefix}{text}"));
            }
        }
    }

    fn output(&mut self, stage: usize, stderr: bool, bytes: &[u8]) {
        if self.quiet {
            self.tail.extend_from_slice(bytes);
            let surplus = self.tail.len().saturating_sub(2 * TAIL);
            self.tail.drain(..surplus);
            return;
        }
        match self.places.len() {
            0 | 1 => {
                self.write(stderr, bytes);
                if let Some(last) = bytes.last() {
                    self.open[usize::from(stderr)] = *last != b'\n';
                }
            }
            _ => self.lines(stage, stderr, bytes),
        }
    }

    fn commit(&mut self, names: &[String]) {
        self.flush_all();
        if !self.quiet {
            self.close();
            let line = format!("COMMIT {}", escape::text(names.first().map_or("", String::as_str)));
            let line = format!("{}\n", line.trim_end());
            self.write(false, line.as_bytes());
        }
    }
}

impl View for Plain<'_> {
    fn fail(&mut self, _why: &str) {
        self.close();
        self.flush_all();
        let tail = std::mem::take(&mut self.tail);
        let start = tail.len().saturating_sub(TAIL);
        // From a line's beginning on.
        let cut = tail[start..].iter().position(|byte| *byte == b'\n').filter(|_| start > 0).map_or(0, |at| at + 1);
        let mut shown = tail[start + cut..].to_vec();
        if shown.last().is_some_and(|byte| *byte != b'\n') {
            shown.push(b'\n');
        }
        if !shown.is_empty() {
            self.write(true, &shown);
        }
    }
}
