//! The monitor's side of the log: one write(2) per chunk of output, rotation by size; or one datagram for each line.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::journal::{self, Journal};
use super::{Driver, MOST_FILES, Options, format, rotated};
use crate::error::{Context, Result};
use crate::monitor::protocol::Stream;

/// Appends output to a log.
#[derive(Debug)]
pub(crate) struct Writer {
    driver: Driver,
    path: PathBuf,
    file: Option<File>,
    journal: Option<Journal>,
    size: u64,
    max_size: u64,
    max_file: u32,
    line: Vec<u8>,
    /// Why lines are missing, until somebody has been told.
    loss: Option<String>,
    /// Somebody has been told.
    told: bool,
    /// As JSON; empty: none.
    attributes: String,
}

impl Writer {
    /// Opens or makes the log of the container `name` whose directory is `dir`.
    pub(crate) fn open(options: &Options, dir: &Path, name: &str) -> Result<Self> {
        let path = options.file(dir);
        let mut writer = Self {
            driver: options.driver,
            path,
            file: None,
            journal: None,
            size: 0,
            max_size: options.max_size.filter(|size| *size > 0).unwrap_or(u64::MAX),
            max_file: options.max_file.unwrap_or(1).clamp(1, MOST_FILES),
            line: Vec::new(),
            loss: None,
            told: false,
            attributes: match (options.driver, options.attributes.is_empty()) {
                (Driver::JsonFile, false) => serde_json::to_string(&options.attributes).unwrap_or_default(),
                _ => String::new(),
            },
        };
        if options.driver == Driver::Journald {
            let id = dir.file_name().map(|id| id.to_string_lossy()).unwrap_or_default();
            let journal = Journal::open(Path::new(journal::SOCKET), options, &id, name);
            writer.journal =
                Some(journal.map_err(|e| e.hint("choose another --log-driver where systemd-journald does not run"))?);
        } else if options.driver.has_files() {
            writer.open_file().context(|| format!("cannot open the log {}", writer.path.display()))?;
        }
        Ok(writer)
    }

    /// The bytes of one read from the container. A line is ended by its line feed; what follows the last one is kept as
    /// a partial line, so that nothing is held back.
    ///
    /// A log that cannot be written (disk full) does not stop the container.
    pub(crate) fn write(&mut self, stream: Stream, data: &[u8]) {
        if let Some(journal) = &self.journal {
            for piece in data.split_inclusive(|b| *b == b'\n') {
                match piece.strip_suffix(b"\n") {
                    Some(text) => journal.send(stream, text, false),
                    None => journal.send(stream, piece, true),
                }
            }
        }
        if self.file.is_none() {
            return;
        }
        let stamp = format::stamp(&Timestamp::now());
        for piece in data.split_inclusive(|b| *b == b'\n') {
            let (text, partial) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, false),
                None => (piece, true),
            };
            let before = self.line.len();
            format::write(&mut self.line, self.driver, &stamp, stream, text, partial, &self.attributes);
            if self.size + self.line.len() as u64 > self.max_size && self.size + before as u64 > 0 {
                // This line begins the next file; those before it still fit into this one.
                let line = self.line.split_off(before);
                self.put();
                if self.rotate().is_err() {
                    return;
                }
                self.line = line;
            }
        }
        self.put();
        // One burst of output must not be paid for until the container ends.
        self.line.shrink_to(4096);
    }

    /// Why lines are missing in the log, the first time.
    pub(crate) fn loss(&mut self) -> Option<String> {
        self.told |= self.loss.is_some();
        self.loss.take()
    }

    /// The program has ended and all of its output is written.
    pub(crate) fn end(&self) {
        self.journal.iter().for_each(Journal::end);
    }

    /// Writes the collected lines.
    fn put(&mut self) {
        if let Some(file) = &mut self.file {
            match file.write_all(&self.line) {
                Ok(()) => self.size += self.line.len() as u64,
                Err(error) => {
                    // Half a line would be continued by the next one that fits.
                    let _ = file.set_len(self.size);
                    if !self.told {
                        self.loss = Some(format!("output is missing in the log {}: {error}", self.path.display()));
                    }
                }
            }
        }
        self.line.clear();
    }

    fn open_file(&mut self) -> std::io::Result<()> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Readers that follow see the rename and go on with the new file.
    fn rotate(&mut self) -> std::io::Result<()> {
        self.file = None;
        if self.max_file == 1 {
            // A new file, not a truncated one: a reader in the middle of the old one still reads whole lines.
            std::fs::remove_file(&self.path)?;
        }
        for age in (1..self.max_file).rev() {
            match std::fs::rename(rotated(&self.path, age - 1), rotated(&self.path, age)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        self.open_file()
    }
}
