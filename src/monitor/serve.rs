//! The monitor's loop: moves bytes between the container, its log and its clients until the container ends.
//!
//! One thread, one poll(2), everything non-blocking. Output is read only while no client is behind, so a slow reader
//! slows the container down as a pipe would, and nothing is lost or piled up. Input is acknowledged packet by packet.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::clients::{self, Client};
use super::input::Input;
use super::log::writer::Writer;
use super::protocol::{Event, PACKET, Request, Stream, output_kind};
use crate::sys::memory;
use crate::sys::process::exit_code;
use crate::sys::signal::{self, SignalFd};
use crate::sys::tty;

/// How long a container has to live for its monitor to get comfortable.
const SETTLED: Duration = Duration::from_millis(300);

/// The monitor's ends of the container's standard output.
#[derive(Debug)]
pub(super) enum Outputs {
    Pipes {
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
    },
    /// The slave side is kept open, so that the console does not hang up between two programs that use it.
    Console {
        master: OwnedFd,
        slave: Option<OwnedFd>,
    },
}

/// Everything the loop works on.
#[derive(Debug)]
pub(super) struct Serving {
    /// The container's first process.
    pub pidfd: OwnedFd,
    pub outputs: Outputs,
    pub input: Input,
    pub log: Writer,
    pub clients: Vec<Client>,
    pub listener: Option<OwnedFd>,
    /// What the monitor itself is sent, passed on to the container.
    pub signals: SignalFd,
    pub stop_signal: i32,
}

/// What a poll slot stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Container,
    Signals,
    Listener,
    Output(Stream),
    Input,
    Client(usize),
}

impl Serving {
    /// Runs until the container's first process has ended and its output is read; answers its exit code.
    pub(super) fn run(&mut self) -> u8 {
        let mut buffer = vec![0; PACKET];
        // The memory of the start is given back by those that stay: it costs more than a short container's whole wait.
        let mut settles = Some(Instant::now() + SETTLED);
        loop {
            if settles.is_some_and(|at| at <= Instant::now()) {
                memory::trim();
                settles = None;
            }
            for (source, ready) in self.wait(settles) {
                match source {
                    Source::Container => {
                        let code = self.reap();
                        self.drain(&mut buffer);
                        return code;
                    }
                    Source::Signals => self.forward_signals(),
                    Source::Listener => {
                        if let Some(listener) = &self.listener {
                            clients::accept(listener, &mut self.clients);
                        }
                    }
                    Source::Output(stream) => {
                        self.output(stream, &mut buffer);
                    }
                    Source::Input => self.feed(),
                    Source::Client(index) => self.client(index, ready, &mut buffer),
                }
            }
            self.clients.retain(|client| !client.gone);
        }
    }

    /// Waits until there is something to do, at most until `deadline`. The container's own end is first in the list.
    fn wait(&self, deadline: Option<Instant>) -> Vec<(Source, PollFlags)> {
        let behind = self.clients.iter().any(Client::behind);
        let mut slots: Vec<(Source, BorrowedFd<'_>, PollFlags)> = Vec::with_capacity(8);
        slots.push((Source::Container, self.pidfd.as_fd(), PollFlags::IN));
        slots.push((Source::Signals, self.signals.as_fd(), PollFlags::IN));
        if let Some(listener) = &self.listener {
            slots.push((Source::Listener, listener.as_fd(), PollFlags::IN));
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(fd) = self.outputs.get(stream).filter(|_| !behind) {
                slots.push((Source::Output(stream), fd, PollFlags::IN));
            }
        }
        if let Some(fd) = self.input_target().filter(|_| self.input.waiting()) {
            slots.push((Source::Input, fd, PollFlags::OUT));
        }
        for (index, client) in self.clients.iter().enumerate() {
            let flags = if client.behind() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            slots.push((Source::Client(index), client.as_fd(), flags));
        }
        let mut fds: Vec<PollFd<'_>> =
            slots.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let timeout = deadline.and_then(|at| at.saturating_duration_since(Instant::now()).try_into().ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {
                let ready = slots.iter().zip(&fds).map(|((source, ..), fd)| (*source, fd.revents()));
                ready.filter(|(_, ready)| !ready.is_empty()).collect()
            }
            // Interrupted, or out of memory for a moment: look again.
            Err(_) => Vec::new(),
        }
    }

    /// Where input goes: the console, or the pipe until it is closed.
    fn input_target(&self) -> Option<BorrowedFd<'_>> {
        match &self.outputs {
            Outputs::Console { master, .. } => Some(master.as_fd()),
            Outputs::Pipes { .. } => self.input.pipe(),
        }
    }

    /// Collects the ended process.
    fn reap(&self) -> u8 {
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) => return exit_code(&status),
                Ok(None) | Err(Errno::INTR) => {}
                Err(_) => return 255,
            }
        }
    }

    /// What the pipes and the console still hold. Processes that outlived the first one (a shared PID namespace) may
    /// keep them open; they are not waited for.
    fn drain(&mut self, buffer: &mut [u8]) {
        if let Outputs::Console { slave, .. } = &mut self.outputs {
            *slave = None;
        }
        while self.output(Stream::Stdout, buffer) {}
        while self.output(Stream::Stderr, buffer) {}
    }

    /// Reads one chunk of output, logs it and sends it on; `false` when there is nothing to read now.
    fn output(&mut self, stream: Stream, buffer: &mut [u8]) -> bool {
        let Some(fd) = self.outputs.get(stream) else { return false };
        match rustix::io::read(fd, &mut buffer[1..]) {
            Ok(0) => {
                self.outputs.close(stream);
                false
            }
            Ok(read) => {
                buffer[0] = output_kind(stream);
                self.log.write(stream, &buffer[1..=read]);
                for client in self.clients.iter_mut().filter(|client| !client.deaf[stream as usize]) {
                    client.gone |= client.send(&buffer[..=read]).is_err();
                }
                true
            }
            Err(Errno::INTR) => true,
            // The console's last user is gone (EIO), or nothing is there.
            Err(_) => false,
        }
    }

    /// One packet from a client, and what it is owed.
    fn client(&mut self, index: usize, ready: PollFlags, buffer: &mut [u8]) {
        let client = &mut self.clients[index];
        if ready.contains(PollFlags::OUT) && client.flush().is_err() {
            client.gone = true;
        }
        if !ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) || client.gone {
            return;
        }
        match client.receive(buffer) {
            Err(Errno::AGAIN) => {}
            Ok(read @ 1..) => match Request::decode(&buffer[..read]) {
                Ok(request) => self.request(index, &request),
                Err(_) => self.clients[index].gone = true,
            },
            Ok(0) | Err(_) => {
                client.gone = true;
                // Killed, not detached: what it fed ends with it.
                if client.feeds {
                    self.close_input();
                }
            }
        }
    }

    fn request(&mut self, index: usize, request: &Request<'_>) {
        match request {
            Request::Stdin(data) => {
                self.clients[index].feeds = true;
                self.input.push(data, self.clients[index].as_fd().as_raw_fd());
                self.feed();
            }
            Request::StdinClose => {
                self.clients[index].feeds = false;
                self.close_input();
            }
            Request::Resize(size) => {
                if let Outputs::Console { master, .. } = &self.outputs {
                    // The console may be gone already.
                    let _ = tty::resize(master, *size);
                }
            }
            Request::Signal(number) => {
                // It may have ended by itself a moment ago.
                let _ = signal::send(self.pidfd.as_fd(), *number);
            }
            Request::Detach => self.clients[index].gone = true,
            Request::OutputClosed(stream) => {
                self.clients[index].deaf[*stream as usize] = true;
                // The last listener went away on purpose: the program learns it as it would in a shell's pipeline.
                if self.clients.iter().all(|client| client.deaf[*stream as usize]) {
                    self.outputs.close(*stream);
                }
            }
        }
    }

    /// A console has no end of input to pass on: its programs read ^D, which the client sends when it wants to.
    fn close_input(&mut self) {
        self.input.close();
        self.feed();
    }

    /// Moves pending input into the container as far as it takes it.
    fn feed(&mut self) {
        let taken = match &self.outputs {
            Outputs::Console { master, .. } => self.input.write_to(master.as_fd()),
            Outputs::Pipes { .. } => self.input.write(),
        };
        for client in self.clients.iter_mut().filter(|client| taken.contains(&client.as_fd().as_raw_fd())) {
            client.gone |= client.send_event(&Event::Taken).is_err();
        }
    }

    /// What was meant to end the monitor ends the container; the monitor follows it.
    fn forward_signals(&self) {
        while let Some(number) = self.signals.next() {
            let number = if number == libc::SIGTERM { self.stop_signal } else { number };
            let _ = signal::send(self.pidfd.as_fd(), number);
        }
    }
}

impl Outputs {
    fn get(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        match (self, stream) {
            (Self::Pipes { stdout, .. }, Stream::Stdout) => stdout.as_ref().map(AsFd::as_fd),
            (Self::Pipes { stderr, .. }, Stream::Stderr) => stderr.as_ref().map(AsFd::as_fd),
            (Self::Console { master, .. }, Stream::Stdout) => Some(master.as_fd()),
            (Self::Console { .. }, Stream::Stderr) => None,
        }
    }

    fn close(&mut self, stream: Stream) {
        match (self, stream) {
            (Self::Pipes { stdout, .. }, Stream::Stdout) => *stdout = None,
            (Self::Pipes { stderr, .. }, Stream::Stderr) => *stderr = None,
            // The console is also where input goes.
            (Self::Console { .. }, _) => {}
        }
    }
}
