//! The other side: a command that hears its container, feeds it, and passes signals and window sizes on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::detach::{Detacher, Step};
use super::place::Place;
use super::protocol::{self, CHUNK, Event, Failure, PACKET, Request, Stream};
use crate::error::{Context, Error, Result};
use crate::sys::signal::SignalFd;
use crate::sys::tty::{self, RawMode};

/// Signals that a foreground command passes on. Those of job control are its own: ^Z stops the command.
pub(crate) const PROXIED: [i32; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM];

/// A connection to a monitor.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
}

/// What of the container the command is connected to.
#[derive(Debug, Clone)]
pub(crate) struct Attach {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// The container has a terminal: ours becomes raw.
    pub tty: bool,
    pub sig_proxy: bool,
    /// Empty: cannot be detached.
    pub detach_keys: Vec<u8>,
    /// The command is the container's reason to run: when nobody reads its output any more, the program learns it.
    pub owner: bool,
}

/// How being attached ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Exited(u8),
    Detached,
    /// The monitor is gone without a word: it was killed.
    Lost,
}

/// A socket's address is short (108 bytes), the directory's name may not be: it is reached through a descriptor.
pub(super) fn address(place: &Place) -> rustix::io::Result<(OwnedFd, SocketAddrUnix)> {
    use std::os::fd::AsRawFd;
    let dir = rustix::fs::open(&place.runtime, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/attach", dir.as_raw_fd()))?;
    Ok((dir, address))
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Client {
    /// The client's end of a socket pair.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Connects to the monitor of a running container.
    pub(crate) fn connect(place: &Place) -> Result<Self> {
        let what = || "cannot reach the container's monitor";
        let (_dir, address) = address(place).context(what)?;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .context(what)?;
        rustix::net::connect(&socket, &address).context(what)?;
        Ok(Self::new(socket))
    }

    /// Waits until the container runs. Warnings go to `warn`.
    pub(crate) fn wait_started(&self, warn: &mut dyn FnMut(&str)) -> Result<()> {
        let mut buffer = vec![0; PACKET];
        loop {
            let read = receive(&self.socket, &mut buffer)?;
            match Event::decode(&buffer[..read]) {
                Ok(Event::Started) => return Ok(()),
                Ok(Event::Error(failure)) => return Err(Failure::decode(failure)),
                Ok(Event::Warning(text)) => warn(&String::from_utf8_lossy(text)),
                _ if read == 0 => return Err(Error::new("the container's monitor ended before the container started")),
                _ => {}
            }
        }
    }

    /// Has the monitor stop all processes of the container, or let them go on.
    pub(crate) fn pause(&self, paused: bool) -> Result<()> {
        let message = if paused { Request::Pause } else { Request::Resume };
        request(&self.socket, &message).context(|| "cannot reach the container's monitor")?;
        self.wait_started(&mut |_| {})
    }

    /// Has the monitor let a program run that waits for it; [`Self::wait_started`] hears what became of it.
    pub(crate) fn go(&self) -> Result<()> {
        request(&self.socket, &Request::Go).context(|| "cannot reach the container's monitor")
    }

    /// Has the monitor read again what may change while the container runs.
    pub(crate) fn reload(&self) -> Result<()> {
        request(&self.socket, &Request::Reload).context(|| "cannot reach the container's monitor")?;
        self.wait_started(&mut |_| {})
    }

    /// Has the monitor send `number` to the container and not start it again.
    pub(crate) fn stop(&self, number: i32) {
        // Seen as its end by whoever waits.
        let _ = request(&self.socket, &Request::Stop(number));
    }

    /// Waits for the container's last end, hearing nothing else; whether it came before `deadline`.
    pub(crate) fn wait_end(&self, deadline: Option<Instant>) -> Result<bool> {
        let mut buffer = vec![0; PACKET];
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], left.as_ref()) {
                Ok(0) => return Ok(false),
                Err(Errno::INTR) => continue,
                result => result.context(|| "cannot wait for the container")?,
            };
            let read = receive(&self.socket, &mut buffer)?;
            if read == 0 || matches!(Event::decode(&buffer[..read]), Ok(Event::Exit(_))) {
                return Ok(true);
            }
        }
    }

    /// Waits until a process of `exec` runs in the background; answers its session's id.
    pub(crate) fn wait_session(&self, warn: &mut dyn FnMut(&str)) -> Result<String> {
        let mut buffer = vec![0; PACKET];
        loop {
            let read = receive(&self.socket, &mut buffer)?;
            match Event::decode(&buffer[..read]) {
                Ok(Event::Session(id)) => return Ok(String::from_utf8_lossy(id).into_owned()),
                Ok(Event::Error(failure)) => return Err(Failure::decode(failure)),
                Ok(Event::Warning(text)) => warn(&String::from_utf8_lossy(text)),
                _ if read == 0 => return Err(Error::new("the session's keeper ended before the process was started")),
                _ => {}
            }
        }
    }

    /// Goes without ending the container's input.
    pub(crate) fn detach(self) {
        // A monitor that is gone needs no goodbye.
        let _ = request(&self.socket, &Request::Detach);
    }

    /// Connects the standard streams with the container's until it ends or the user detaches.
    ///
    /// # Errors
    /// When the container could not be started.
    pub(crate) fn attach(self, attach: &Attach, warn: &mut dyn FnMut(&str)) -> Result<Outcome> {
        let stdin = std::io::stdin();
        let terminal = attach.tty && rustix::termios::isatty(&stdin);
        let mut signals = Vec::new();
        if attach.sig_proxy {
            signals.extend(PROXIED);
        }
        if terminal {
            signals.push(libc::SIGWINCH);
        }
        let signals = SignalFd::new(&signals).context(|| "cannot receive signals")?;
        let raw = match terminal && attach.stdin {
            true => Some(RawMode::enter(stdin.as_fd()).context(|| "cannot switch the terminal to raw mode")?),
            false => None,
        };
        let mut session = Session {
            socket: &self.socket,
            attach,
            stdin: stdin.as_fd(),
            feeding: attach.stdin,
            taken: true,
            detacher: Detacher::new(if terminal { &attach.detach_keys } else { &[] }),
            deaf: [false; 2],
            warn,
        };
        if terminal {
            session.resize();
        }
        let outcome = session.run(&signals);
        drop(raw);
        outcome
    }
}

/// An attached client at work.
struct Session<'a> {
    socket: &'a OwnedFd,
    attach: &'a Attach,
    stdin: BorrowedFd<'a>,
    /// Our standard input has not ended.
    feeding: bool,
    /// The monitor has taken the last packet of input.
    taken: bool,
    detacher: Detacher<'a>,
    /// Nobody reads this output of ours (`Stream` as index).
    deaf: [bool; 2],
    warn: &'a mut dyn FnMut(&str),
}

impl Session<'_> {
    fn run(&mut self, signals: &SignalFd) -> Result<Outcome> {
        let mut buffer = vec![0; PACKET];
        loop {
            let (from_monitor, from_signals, from_stdin) = {
                let mut fds = vec![PollFd::new(self.socket, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
                if self.feeding && self.taken {
                    fds.push(PollFd::from_borrowed_fd(self.stdin, PollFlags::IN));
                }
                match poll(&mut fds, None) {
                    Err(Errno::INTR) => continue,
                    result => result.context(|| "cannot wait for the container")?,
                };
                let ready = |i: usize| fds.get(i).is_some_and(|fd| !fd.revents().is_empty());
                (ready(0), ready(1), ready(2))
            };
            while from_signals && let Some(number) = signals.next() {
                match number {
                    libc::SIGWINCH => self.resize(),
                    number => self.send(&Request::Signal(number)),
                }
            }
            if from_monitor && let Some(outcome) = self.event(&mut buffer)? {
                return Ok(outcome);
            }
            if from_stdin && self.input(&mut buffer)? {
                return Ok(Outcome::Detached);
            }
        }
    }

    /// One packet from the monitor.
    fn event(&mut self, buffer: &mut [u8]) -> Result<Option<Outcome>> {
        let read = receive(self.socket, buffer)?;
        match Event::decode(&buffer[..read]) {
            _ if read == 0 => return Ok(Some(Outcome::Lost)),
            Ok(Event::Output(stream, data)) => self.output(stream, data)?,
            Ok(Event::Taken) => self.taken = true,
            Ok(Event::Exit(code)) => return Ok(Some(Outcome::Exited(code))),
            Ok(Event::Error(failure)) => return Err(Failure::decode(failure)),
            Ok(Event::Warning(text)) => (self.warn)(&String::from_utf8_lossy(text)),
            Ok(Event::Started | Event::Session(_) | Event::Detached) | Err(_) => {}
        }
        Ok(None)
    }

    fn output(&mut self, stream: Stream, data: &[u8]) -> Result<()> {
        let result = match stream {
            _ if self.deaf[stream as usize] => Ok(()),
            Stream::Stdout if self.attach.stdout => write_all(&std::io::stdout(), data),
            Stream::Stderr if self.attach.stderr => write_all(&std::io::stderr(), data),
            _ => Ok(()),
        };
        match result {
            Err(Errno::PIPE) if self.attach.owner => {
                self.deaf[stream as usize] = true;
                self.send(&Request::OutputClosed(stream));
                Ok(())
            }
            result => result.context(|| format!("cannot write to standard {}", &stream.as_str()[3..])),
        }
    }

    /// Passes input on; `true` when the user typed the keys that detach.
    fn input(&mut self, buffer: &mut [u8]) -> Result<bool> {
        match rustix::io::read(self.stdin, &mut buffer[..CHUNK - super::detach::LONGEST]) {
            Ok(0) => {
                self.feeding = false;
                self.send(&Request::StdinClose);
            }
            Ok(read) => {
                let (data, step) = self.detacher.filter(&buffer[..read]);
                if !data.is_empty() {
                    self.taken = false;
                    let data = data.into_owned();
                    self.send(&Request::Stdin(&data));
                }
                if step == Step::Detach {
                    self.send(&Request::Detach);
                    return Ok(true);
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The terminal is gone.
            Err(Errno::IO) => self.feeding = false,
            Err(e) => return Err(Error::wrap("cannot read standard input", e)),
        }
        Ok(false)
    }

    fn resize(&self) {
        if let Some(size) = tty::size(self.stdin) {
            self.send(&Request::Resize(size));
        }
    }

    /// A monitor that is gone is noticed where its events are read.
    fn send(&self, message: &Request<'_>) {
        let _ = request(self.socket, message);
    }
}

fn request(socket: &OwnedFd, message: &Request<'_>) -> std::result::Result<(), Errno> {
    let mut packet = Vec::new();
    message.encode(&mut packet);
    protocol::send(socket.as_fd(), &packet)
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<usize> {
    protocol::receive(socket.as_fd(), buffer).context(|| "cannot hear the container's monitor")
}

/// The container's bytes as they are, past the line buffer of [`std::io::Stdout`].
pub(crate) fn write_all(stream: &impl AsFd, mut data: &[u8]) -> std::result::Result<(), Errno> {
    while !data.is_empty() {
        match rustix::io::write(stream, data) {
            Ok(written) => data = &data[written..],
            Err(Errno::INTR) => {}
            // A terminal or pipe that somebody else made non-blocking.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(stream, PollFlags::OUT)], None)?;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
