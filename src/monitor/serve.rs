//! The monitor's loop: moves bytes between the container, its log and its clients until the container ends.
//!
//! One thread, one poll(2), everything non-blocking. Output is read only while no client is behind, so a slow reader
//! slows the container down as a pipe would, and nothing is lost or piled up. Input is acknowledged packet by packet.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::clients::{self, Client};
use super::health::Action;
use super::health::check::Verdict;
use super::health::clock::{Clock, Subject};
use super::home;
use super::notify::Notifier;
use super::pause;
use super::place::Place;
use super::protocol::{Event, Failure, PACKET, Request, Stream, output_kind};
use super::start::Program;
use super::state::{State, Status};
use super::terms::{Reload, Terms};
use crate::error::Error;
use crate::state::lock::Lock;
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
pub(super) struct Serving<'a> {
    pub program: Program,
    pub clients: Vec<Client>,
    pub listener: Option<OwnedFd>,
    /// What the monitor itself is sent, passed on to the container.
    pub signals: SignalFd,
    pub stop_signal: i32,
    pub place: &'a Place,
    /// Instead of the launch's, which nobody finds any more.
    pub lock: Option<Lock>,
    /// Keeps cleaners away from the runtime directory.
    pub kept: Option<OwnedFd>,
    pub spec: &'a Spec,
    pub state: State,
    /// Somebody wants the container to end: it is not started again.
    pub halted: bool,
    /// The same, by a command or for its health: a session that ends, or the machine, has nothing against it.
    pub stopped: bool,
    /// Its health wants it started again, whatever `--restart` says.
    pub again: bool,
    /// When the program is killed.
    pub deadline: Option<Instant>,
    /// How long a program that is asked to end is waited for.
    pub stop_timeout: Duration,
    pub clock: Option<Clock<'a>>,
    /// What the clock is made of.
    pub subject: Subject<'a>,
    pub notifier: Option<Notifier>,
    pub terms: Terms<'a>,
    pub reload: &'a Reload<'a>,
    /// `--timeout`, for a program that does not run yet.
    pub timeout: Option<Duration>,
    /// The program was killed because of it.
    pub timed_out: bool,
}

/// The exit code of a container that `--timeout` has ended: conmon's -1.
const TIMED_OUT: u8 = 255;

/// What a poll slot stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Container,
    Connection,
    Check,
    Notify,
    Signals,
    Listener,
    Output(Stream),
    Input,
    Client(usize),
}

impl Serving<'_> {
    /// Runs until the container's first process has ended and its output is read; answers its exit code.
    pub(super) fn run(&mut self) -> u8 {
        let mut buffer = vec![0; PACKET];
        // The memory of the start is given back by those that stay: it costs more than a short container's whole wait.
        let mut settles = Some(Instant::now() + SETTLED);
        loop {
            let settled = settles.take_if(|at| *at <= Instant::now()).is_some();
            if settled {
                self.kept = self.place.keep();
            }
            for (source, ready) in self.wait(true, self.alarm().into_iter().chain(settles).min(), settled) {
                match source {
                    Source::Container => {
                        let code = self.reap();
                        self.drain(&mut buffer);
                        self.program.log.end();
                        return code;
                    }
                    Source::Connection => self.program.connection.strike(),
                    Source::Check => self.checked(),
                    Source::Notify => self.notifier.iter().for_each(Notifier::pass_on),
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
            if self.alarm().is_some_and(|time| time <= Instant::now()) {
                self.ring();
            }
        }
    }

    /// When there is something to do even if nothing is heard.
    fn alarm(&self) -> Option<Instant> {
        let check = self.clock.as_ref().and_then(Clock::next);
        self.deadline.into_iter().chain(check).chain(self.program.connection.due()).min()
    }

    fn ring(&mut self) {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            // Else the deadline is of somebody who wanted it to end.
            self.timed_out = self.timeout.is_some() && !self.halted && !self.again;
            let _ = signal::send(self.program.pidfd.as_fd(), libc::SIGKILL);
        }
        if self.program.connection.due().is_some_and(|due| due <= now) {
            self.reconnect();
        }
        if let Some(clock) = self.clock.as_mut().filter(|clock| clock.next().is_some_and(|next| next <= now)) {
            match self.state.status {
                Status::Paused => clock.skip(),
                _ => clock.begin(self.program.pidfd.as_fd(), &self.state),
            }
        }
    }

    /// A health check has ended.
    fn checked(&mut self) {
        let Some(clock) = &mut self.clock else { return };
        let action = clock.action();
        match (clock.end(), action) {
            (Some(Verdict::Passed), _) => self.notifier.iter().for_each(Notifier::healthy),
            (Some(Verdict::GaveUp), _) | (Some(Verdict::Unhealthy), Action::Restart) => {
                self.again = true;
                self.end_program();
            }
            (Some(Verdict::Unhealthy), Action::Kill) => {
                let _ = signal::send(self.program.pidfd.as_fd(), libc::SIGKILL);
            }
            (Some(Verdict::Unhealthy), Action::Stop) => {
                (self.halted, self.stopped) = (true, true);
                self.end_program();
            }
            _ => {}
        }
    }

    /// Asks the program to end, and kills it when it does not.
    fn end_program(&mut self) {
        // It may have ended by itself a moment ago.
        let _ = signal::send(self.program.pidfd.as_fd(), self.stop_signal);
        let kill = Instant::now() + self.stop_timeout;
        self.deadline = Some(self.deadline.map_or(kill, |deadline| deadline.min(kill)));
    }

    /// Waits for `time` while no program runs; `false` when somebody wants it to stay so.
    pub(super) fn rest(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while !self.halted && Instant::now() < end {
            self.hear(Some(end));
        }
        !self.halted
    }

    /// What clients have said up to now. No program runs.
    pub(super) fn listen(&mut self) {
        while self.hear(Some(Instant::now())) {}
    }

    /// One round without a program; whether there was anything.
    fn hear(&mut self, until: Option<Instant>) -> bool {
        let mut buffer = vec![0; PACKET];
        let ready = self.wait(false, until, false);
        for (source, ready) in &ready {
            match source {
                Source::Signals => match self.signals.next() {
                    Some(home::CALL) => self.called(),
                    number => self.halted |= number.is_some(),
                },
                Source::Listener => {
                    if let Some(listener) = &self.listener {
                        clients::accept(listener, &mut self.clients);
                    }
                }
                Source::Client(index) => self.client(*index, *ready, &mut buffer),
                _ => {}
            }
        }
        self.clients.retain(|client| !client.gone);
        !ready.is_empty()
    }

    /// Tells everybody who is attached.
    pub(super) fn warn(&mut self, text: &str) {
        for client in &mut self.clients {
            client.gone |= client.send_event(&Event::Warning(text.as_bytes())).is_err();
        }
    }

    /// A process of the network has ended, and is to be started again.
    fn reconnect(&mut self) {
        // Published under the numbers that were chosen.
        self.program.connection.ports.clone_from(&self.state.ports);
        let said = match self.program.connection.repair() {
            Ok(said) => said,
            Err(error) if error.to_string() == self.state.error => return,
            Err(error) => error.to_string(),
        };
        self.warn(&said);
        self.program.log.write(Stream::Stderr, format!("rpod: {said}\n").as_bytes());
        self.state.error = said;
        // The state's reader learns it later or not at all; the container goes on.
        let _ = self.state.store(&self.place.record);
    }

    /// Waits until there is something to do, at most until `until`. The container's own end is first in the list.
    /// `program`: one runs. `settled`: it is likely to take long.
    fn wait(&self, program: bool, until: Option<Instant>, settled: bool) -> Vec<(Source, PollFlags)> {
        let behind = self.clients.iter().any(Client::behind);
        let mut slots: Vec<(Source, BorrowedFd<'_>, PollFlags)> = Vec::with_capacity(8);
        if program {
            slots.push((Source::Container, self.program.pidfd.as_fd(), PollFlags::IN));
            slots.extend(self.notifier.iter().filter_map(Notifier::fd).map(|fd| (Source::Notify, fd, PollFlags::IN)));
            slots.extend(self.clock.iter().filter_map(Clock::pidfd).map(|fd| (Source::Check, fd, PollFlags::IN)));
            slots.extend(self.program.connection.pidfds().map(|fd| (Source::Connection, fd, PollFlags::IN)));
        }
        slots.push((Source::Signals, self.signals.as_fd(), PollFlags::IN));
        if let Some(listener) = &self.listener {
            slots.push((Source::Listener, listener.as_fd(), PollFlags::IN));
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(fd) = self.program.outputs.get(stream).filter(|_| program && !behind) {
                slots.push((Source::Output(stream), fd, PollFlags::IN));
            }
        }
        if let Some(fd) = self.input_target().filter(|_| program && self.program.input.waiting()) {
            slots.push((Source::Input, fd, PollFlags::OUT));
        }
        for (index, client) in self.clients.iter().enumerate() {
            let flags = if client.behind() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            slots.push((Source::Client(index), client.as_fd(), flags));
        }
        let mut fds: Vec<PollFd<'_>> =
            slots.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        if settled {
            // Here and not earlier: all code that runs between this and the poll is in memory again.
            memory::trim();
        }
        match poll(&mut fds, left.as_ref()) {
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
        match &self.program.outputs {
            Outputs::Console { master, .. } => Some(master.as_fd()),
            Outputs::Pipes { .. } => self.program.input.pipe(),
        }
    }

    /// Collects the ended process.
    fn reap(&self) -> u8 {
        loop {
            match waitid(WaitId::PidFd(self.program.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(_)) if self.timed_out => return TIMED_OUT,
                Ok(Some(status)) => return exit_code(&status),
                Ok(None) | Err(Errno::INTR) => {}
                // It failed to become the program, and whoever started it has collected it.
                Err(_) if self.state.exit_code != 0 => return self.state.exit_code,
                Err(_) => return 255,
            }
        }
    }

    /// What the pipes and the console still hold. Processes that outlived the first one (a shared PID namespace) may
    /// keep them open; they are not waited for.
    fn drain(&mut self, buffer: &mut [u8]) {
        if let Outputs::Console { slave, .. } = &mut self.program.outputs {
            *slave = None;
        }
        while self.output(Stream::Stdout, buffer) {}
        while self.output(Stream::Stderr, buffer) {}
    }

    /// Reads one chunk of output, logs it and sends it on; `false` when there is nothing to read now.
    fn output(&mut self, stream: Stream, buffer: &mut [u8]) -> bool {
        let Some(fd) = self.program.outputs.get(stream) else { return false };
        match rustix::io::read(fd, &mut buffer[1..]) {
            Ok(0) => {
                self.program.outputs.close(stream);
                false
            }
            Ok(read) => {
                buffer[0] = output_kind(stream);
                self.program.log.write(stream, &buffer[1..=read]);
                let loss = self.program.log.loss();
                for client in self.clients.iter_mut().filter(|client| !client.deaf[stream as usize]) {
                    client.gone |= client.send(&buffer[..=read]).is_err();
                }
                if let Some(loss) = loss {
                    self.warn(&loss);
                    self.state.error = loss;
                    // On a full disk it may not be written either.
                    let _ = self.state.store(&self.place.record);
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
                self.program.input.push(data, self.clients[index].as_fd().as_raw_fd());
                self.feed();
            }
            Request::StdinClose => {
                self.clients[index].feeds = false;
                self.close_input();
            }
            Request::Resize(size) => {
                if let Outputs::Console { master, .. } = &self.program.outputs {
                    // The console may be gone already.
                    let _ = tty::resize(master, *size);
                }
            }
            Request::Signal(number) => {
                // It may have ended by itself a moment ago.
                let _ = signal::send(self.program.pidfd.as_fd(), *number);
            }
            Request::Stop(number) => {
                self.clients[index].deaf = [true; 2];
                (self.halted, self.stopped) = (true, true);
                // Between two programs there is none to end.
                let _ = signal::send(self.program.pidfd.as_fd(), *number);
            }
            Request::Pause => self.pause(index, true),
            Request::Resume => self.pause(index, false),
            Request::Go => self.go(index),
            Request::Reload => self.reload(index),
            Request::Detach => self.clients[index].gone = true,
            Request::OutputClosed(stream) => {
                self.clients[index].deaf[*stream as usize] = true;
                // The last listener went away on purpose: the program learns it as it would in a shell's pipeline.
                if self.clients.iter().all(|client| client.deaf[*stream as usize]) {
                    self.program.outputs.close(*stream);
                }
            }
        }
    }

    fn pause(&mut self, index: usize, paused: bool) {
        self.clients[index].deaf = [true; 2];
        let (from, to) = if paused { (Status::Running, Status::Paused) } else { (Status::Paused, Status::Running) };
        let result = if self.state.status == from {
            pause::set(paused, self.program.pidfd.as_fd(), self.spec, &self.state)
        } else {
            // Somebody was faster, or the program has ended.
            Err(Error::new(format!("the container is {}", self.state.status.as_str())))
        };
        let answer = match result.and_then(|()| {
            self.state.status = to;
            self.state.store(&self.place.record).inspect_err(|_| {
                // What others read and what is must not differ: on a full disk the container stays as it was.
                self.state.status = from;
                let _ = pause::set(!paused, self.program.pidfd.as_fd(), self.spec, &self.state);
            })
        }) {
            Ok(()) => self.clients[index].send_event(&Event::Started),
            Err(error) => self.clients[index].send_event(&Event::Error(&Failure::encode(&error))),
        };
        self.clients[index].gone |= answer.is_err();
    }

    /// A console has no end of input to pass on: its programs read ^D, which the client sends when it wants to.
    fn close_input(&mut self) {
        self.program.input.close();
        self.feed();
    }

    /// Moves pending input into the container as far as it takes it.
    fn feed(&mut self) {
        let taken = match &self.program.outputs {
            Outputs::Console { master, .. } => self.program.input.write_to(master.as_fd()),
            Outputs::Pipes { .. } => self.program.input.write(),
        };
        for client in self.clients.iter_mut().filter(|client| taken.contains(&client.as_fd().as_raw_fd())) {
            client.gone |= client.send_event(&Event::Taken).is_err();
        }
    }

    fn called(&mut self) {
        if let Err(error) = self.come_home() {
            self.program.log.write(Stream::Stderr, format!("rpod: {error}\n").as_bytes());
        }
    }

    /// What was meant to end the monitor ends the container; the monitor follows it.
    fn forward_signals(&mut self) {
        while let Some(number) = self.signals.next() {
            if number == home::CALL {
                self.called();
                continue;
            }
            self.halted = true;
            match number {
                // A logout or a stopped unit waits for the container; a program that ignores the signal must not keep it.
                libc::SIGTERM => self.end_program(),
                number => {
                    let _ = signal::send(self.program.pidfd.as_fd(), number);
                }
            }
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
