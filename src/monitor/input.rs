//! Input on its way from clients into the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// The monitor's end of the container's standard input, and what it has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// `None` without `-i`, with a console, and after the end of the input.
    pipe: Option<OwnedFd>,
    pending: Vec<u8>,
    written: usize,
    /// The input ends after what is pending.
    closing: bool,
    /// Sockets of clients whose packets are pending, to be told when they are taken.
    owed: Vec<RawFd>,
}

impl Input {
    pub(super) fn new(pipe: Option<OwnedFd>) -> Self {
        Self { pipe, ..Self::default() }
    }

    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn waiting(&self) -> bool {
        self.written < self.pending.len()
    }

    /// `data` came from `client`. Each client has one packet under way, so this stays small.
    pub(super) fn push(&mut self, data: &[u8], client: RawFd) {
        self.pending.extend_from_slice(data);
        self.owed.push(client);
    }

    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Writes to the pipe; answers the clients whose packets are taken.
    pub(super) fn write(&mut self) -> Vec<RawFd> {
        let Some(pipe) = self.pipe.take() else {
            // Nobody reads: input is taken and dropped, as a closed pipe would.
            return self.clear();
        };
        let taken = self.write_to(pipe.as_fd());
        let end = self.closing && !self.waiting();
        self.pipe = Some(pipe).filter(|_| !end);
        taken
    }

    /// Writes to `target`; answers the clients whose packets are taken.
    pub(super) fn write_to(&mut self, target: BorrowedFd<'_>) -> Vec<RawFd> {
        while self.waiting() {
            match rustix::io::write(target, &self.pending[self.written..]) {
                Ok(written) => self.written += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Vec::new(),
                // The reader is gone.
                Err(_) => break,
            }
        }
        self.clear()
    }

    fn clear(&mut self) -> Vec<RawFd> {
        self.pending = Vec::new();
        self.written = 0;
        std::mem::take(&mut self.owed)
    }
}
