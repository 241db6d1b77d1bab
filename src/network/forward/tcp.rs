//! TCP connections: two sockets and, while data is on its way, a pipe for each direction (splice(2): no byte is copied here).
//!
//! A direction that has nothing to carry holds no pipe, so an idle connection costs two descriptors. A receiver that does
//! not read keeps its pipe full, then the sender's socket buffers: back-pressure is the kernel's.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown, sockopt};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::inside::Way;

/// What is moved at once. A larger pipe than the default saves system calls when much is sent.
const CHUNK: usize = 256 * 1024;

/// Pipes kept for the next direction that needs one.
const SPARE_PIPES: usize = 16;

/// How many chunks one direction may move before others have their turn.
const TURN: u32 = 8;

#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

#[derive(Debug, Default)]
pub(super) struct Pipes(Vec<Pipe>);

impl Pipes {
    fn take(&mut self) -> Result<Pipe, Errno> {
        if let Some(pipe) = self.0.pop() {
            return Ok(pipe);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Past the user's share of pipe memory the default size has to do.
        let _ = fcntl_setpipe_size(&write, CHUNK);
        Ok(Pipe { read, write })
    }

    /// Only for empty pipes.
    fn give(&mut self, pipe: Option<Pipe>) {
        if self.0.len() < SPARE_PIPES {
            self.0.extend(pipe);
        }
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Half {
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    held: usize,
    /// The sender has finished.
    ended: bool,
    /// The receiver has been told.
    shut: bool,
    /// As the last event or system call said.
    readable: bool,
    writable: bool,
}

/// A connection in both directions.
#[derive(Debug)]
pub(super) struct Connection {
    pub client: OwnedFd,
    pub server: OwnedFd,
    /// The server side is not connected yet; ways left to try.
    pub connecting: bool,
    pub ways: Vec<Way>,
    up: Half,
    down: Half,
}

/// Which socket an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Wait for the next event.
    Waiting,
    /// More could be moved at once.
    More,
    /// Both directions have ended.
    Finished,
    /// One side broke off; the other is to be told.
    Broken,
}

impl Connection {
    pub(super) fn new(client: OwnedFd, server: OwnedFd, ways: Vec<Way>) -> Self {
        Self { client, server, connecting: true, ways, up: Half::default(), down: Half::default() }
    }

    /// Takes note of an event.
    pub(super) fn note(&mut self, side: Side, readable: bool, writable: bool) {
        let (from, to) = match side {
            Side::Client => (&mut self.up, &mut self.down),
            Side::Server => (&mut self.down, &mut self.up),
        };
        from.readable |= readable;
        to.writable |= writable;
    }

    /// Moves what can be moved.
    pub(super) fn pump(&mut self, pipes: &mut Pipes) -> Progress {
        let up = self.up.pump(&self.client, &self.server, pipes);
        let down = self.down.pump(&self.server, &self.client, pipes);
        match (up, down) {
            (Err(_), _) | (_, Err(_)) => Progress::Broken,
            _ if self.up.shut && self.down.shut => Progress::Finished,
            (Ok(false), Ok(false)) => Progress::Waiting,
            _ => Progress::More,
        }
    }

    /// Ends both sides with a reset, as a connection that broke off looks to its peers.
    pub(super) fn reset(self) {
        for side in [&self.client, &self.server] {
            // Fails only for sockets that are closed already.
            let _ = sockopt::set_socket_linger(side, Some(std::time::Duration::ZERO));
        }
    }
}

impl Half {
    /// Whether there may be more to move at once.
    fn pump(&mut self, from: &OwnedFd, to: &OwnedFd, pipes: &mut Pipes) -> Result<bool, Errno> {
        let mut turns = 0;
        loop {
            if self.held > 0 {
                if !self.writable {
                    return Ok(false);
                }
                self.drain(to)?;
                continue;
            }
            if self.ended || !self.readable || !self.writable {
                pipes.give(self.pipe.take());
                if self.ended && !self.shut {
                    self.shut = true;
                    shutdown(to, Shutdown::Write)?;
                }
                return Ok(false);
            }
            turns += 1;
            if turns > TURN {
                return Ok(true);
            }
            self.fill(from, pipes)?;
        }
    }

    fn fill(&mut self, from: &OwnedFd, pipes: &mut Pipes) -> Result<(), Errno> {
        let pipe = match &self.pipe {
            Some(pipe) => pipe,
            None => self.pipe.insert(pipes.take()?),
        };
        match splice(from, None, &pipe.write, None, CHUNK, SpliceFlags::MOVE | SpliceFlags::NONBLOCK) {
            Ok(0) => self.ended = true,
            Ok(length) => self.held = length,
            Err(Errno::AGAIN) => self.readable = false,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn drain(&mut self, to: &OwnedFd) -> Result<(), Errno> {
        let Some(pipe) = &self.pipe else { return Err(Errno::PIPE) };
        match splice(&pipe.read, None, to, None, self.held, SpliceFlags::MOVE | SpliceFlags::NONBLOCK) {
            Ok(0) => return Err(Errno::PIPE),
            Ok(length) => self.held -= length,
            Err(Errno::AGAIN) => self.writable = false,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }
}
