//! Standard output and standard error.
//!
//! Results go to standard output, buffered until the end or the next message; everything else (warnings, progress,
//! errors) to standard error. A reader that goes away (`rpod ps | head -1`) is not an error worth a message: the process
//! ends with the code a shell would show for SIGPIPE.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;

use super::escape;
use crate::error::{Context, Error, Result};
use crate::state::given;

/// 128 + SIGPIPE.
const BROKEN_PIPE: u8 = 141;
/// Written out when it has grown to this many bytes.
const BUFFER: usize = 32 * 1024;

/// The way to print; one per process, handed to every verb in its context.
pub(crate) struct Ui {
    pending: RefCell<Vec<u8>>,
    broken: Cell<bool>,
    /// Why output is missing, where nobody could be told yet.
    lost: RefCell<Option<Error>>,
    warnings: Cell<bool>,
    verbose: Cell<bool>,
    #[cfg(test)]
    memory: bool,
}

#[cfg(test)]
impl Ui {
    /// Keeps what is printed, for [`Ui::take`].
    pub(crate) fn in_memory() -> Self {
        Self { memory: true, ..Self::standard() }
    }

    pub(crate) fn take(&self) -> String {
        String::from_utf8_lossy(&self.pending.take()).into_owned()
    }
}

impl Ui {
    pub(crate) fn standard() -> Self {
        let (pending, broken) = (RefCell::default(), Cell::new(false));
        Self {
            pending,
            broken,
            lost: RefCell::default(),
            warnings: Cell::new(true),
            verbose: Cell::new(false),
            #[cfg(test)]
            memory: false,
        }
    }

    /// `--out`: sends all of the process's standard output to a file, made or emptied.
    pub(crate) fn write_to(&self, path: &std::path::Path) -> Result<()> {
        let failed = || format!("cannot write to {}", path.display());
        let file = given::create(path).context(failed)?;
        rustix::stdio::dup2_stdout(&file).context(failed)
    }

    /// Which messages [`Ui::warn`] and [`Ui::debug`] let through.
    pub(crate) fn set_verbosity(&self, warnings: bool, verbose: bool) {
        self.warnings.set(warnings);
        self.verbose.set(verbose);
    }

    /// Adds `text` to standard output, as it is.
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Adds `text` and a line end to standard output.
    pub(crate) fn line(&self, text: impl Display) -> Result<()> {
        let mut pending = self.pending.borrow_mut();
        // Writing to memory cannot fail.
        let _ = writeln!(pending, "{text}");
        let full = pending.len() >= BUFFER;
        drop(pending);
        if full { self.flush() } else { Ok(()) }
    }

    /// Adds bytes to standard output: a container's own output, an archive.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut pending = self.pending.borrow_mut();
        pending.extend_from_slice(bytes);
        let full = pending.len() >= BUFFER;
        drop(pending);
        if full { self.flush() } else { Ok(()) }
    }

    /// Writes out what is pending. To be called before a fork and before waiting for something.
    ///
    /// # Errors
    /// When standard output cannot be written; after a broken pipe the caller should stop, and nothing is reported.
    pub(crate) fn flush(&self) -> Result<()> {
        #[cfg(test)]
        if self.memory {
            return Ok(());
        }
        let mut pending = self.pending.borrow_mut();
        if pending.is_empty() {
            return Ok(());
        }
        let written = write_all(&std::io::stdout(), &pending);
        pending.clear();
        written.map_err(|e| {
            self.broken.set(e.kind() == std::io::ErrorKind::BrokenPipe);
            Error::wrap("cannot write to standard output", e)
        })
    }

    /// `Warning: …` on standard error.
    pub(crate) fn warn(&self, message: impl Display) {
        if self.warnings.get() {
            self.stderr(&format!("Warning: {}\n", escape::text(&message.to_string())));
        }
    }

    /// A line on standard error that only `--log-level debug` shows.
    pub(crate) fn debug<D: Display>(&self, message: impl FnOnce() -> D) {
        if self.verbose.get() {
            self.stderr(&format!("debug: {}\n", escape::text(&message().to_string())));
        }
    }

    /// A line on standard error.
    pub(crate) fn note(&self, message: impl Display) {
        self.stderr(&format!("{}\n", escape::text(&message.to_string())));
    }

    /// Text for standard error, after what is pending for standard output. `text` is safe for a terminal already.
    pub(crate) fn stderr(&self, text: &str) {
        self.stderr_bytes(text.as_bytes());
    }

    /// Bytes for standard error, as they are, after what is pending for standard output: a container's own output.
    pub(crate) fn stderr_bytes(&self, bytes: &[u8]) {
        if let Err(error) = self.flush() {
            self.lost.borrow_mut().get_or_insert(error);
        }
        if !self.broken.get() {
            // There is nowhere left to say that standard error cannot be written.
            let _ = write_all(&std::io::stderr(), bytes);
        }
    }

    pub(crate) fn stdout_is_terminal(&self) -> bool {
        #[cfg(test)]
        if self.memory {
            return false;
        }
        std::io::stdout().is_terminal()
    }

    /// Writes out the rest; answers the process's exit code.
    pub(crate) fn finish(&self, code: u8) -> u8 {
        let flushed = self.flush();
        match self.lost.take().map_or(flushed, Err) {
            _ if self.broken.get() => BROKEN_PIPE,
            Err(error) => {
                super::report::error(self, &error);
                error.kind().exit_code()
            }
            Ok(()) => code,
        }
    }
}

/// Without the locks and the line buffer of [`std::io::Stdout`], so that output is written in as few calls as possible.
fn write_all(stream: &impl AsFd, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(stream, bytes) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            // A terminal or pipe that somebody else made non-blocking.
            Err(rustix::io::Errno::AGAIN) => {
                let mut ready = [rustix::event::PollFd::new(stream, rustix::event::PollFlags::OUT)];
                rustix::event::poll(&mut ready, None)?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
