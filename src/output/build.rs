//! How a build is shown: Podman's lines, with the stage in front where there are several, the time that each step took,
//! and nothing else that a log would not want.

use std::collections::BTreeMap;
use std::io::Write;

use super::escape;
use super::ui::Ui;
use crate::build::{Event, Reporter};

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
    /// The end of what was written while nothing was to be shown.
    tail: Vec<u8>,
}

/// Bytes of output that are shown when a quiet build fails.
const TAIL: usize = 4096;

impl<'a> Plain<'a> {
    pub(crate) fn new(ui: &'a Ui, sink: Sink, quiet: bool) -> Self {
        Self { ui, sink, quiet, places: BTreeMap::new(), pending: BTreeMap::new(), tail: Vec::new() }
    }

    /// What a program wrote last, when it has not been shown: for a build that failed.
    pub(crate) fn show_tail(&mut self) {
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
        let line = format!("{}{}\n", self.prefix(stage), escape::text(text));
        self.write(false, line.as_bytes());
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
        let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else { return };
        let whole: Vec<u8> = pending.drain(..=end).collect();
        let mut out = Vec::with_capacity(whole.len() + 64);
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            out.extend_from_slice(prefix.as_bytes());
            out.extend_from_slice(line);
        }
        self.write(stderr, &out);
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
            0 | 1 => self.write(stderr, bytes),
            _ => self.lines(stage, stderr, bytes),
        }
    }

    fn commit(&mut self, names: &[String]) {
        let stages: Vec<usize> = self.places.keys().copied().collect();
        stages.into_iter().for_each(|stage| self.flush(stage));
        if !self.quiet {
            let line = format!("COMMIT {}", escape::text(names.first().map_or("", String::as_str)));
            let line = format!("{}\n", line.trim_end());
            self.write(false, line.as_bytes());
        }
    }
}
