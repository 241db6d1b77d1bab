//! Moves bytes between this command's standard streams and those of a process it started.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::error::{Context, Result};
use crate::monitor::client::{PROXIED, write_all};
use crate::monitor::detach::{Detacher, Step};
use crate::sys::process::exit_code;
use crate::sys::signal::{self, SignalFd};
use crate::sys::tty::{self, RawMode};

/// Bytes moved at once.
const CHUNK: usize = 32 * 1024;

/// Our ends of what the process writes.
pub(super) enum Outputs {
    Pipes { stdout: Option<OwnedFd>, stderr: Option<OwnedFd> },
    Console(OwnedFd),
}

/// A process and our ends of its streams.
pub(super) struct Relay {
    pub pidfd: OwnedFd,
    pub outputs: Outputs,
    /// Its standard input, unless that is the console or nothing.
    pub input: Option<OwnedFd>,
    /// Our own standard input is passed on.
    pub interactive: bool,
    /// What leaves the process alone; empty: nothing does.
    pub detach_keys: Vec<u8>,
}

/// How relaying ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exited(u8),
    Detached,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Process,
    Signals,
    Stdin,
    Room,
    Output(bool),
}

impl Relay {
    /// Runs until the process has ended or the user detached.
    pub(super) fn run(&mut self) -> Result<End> {
        let stdin = std::io::stdin();
        let console = matches!(self.outputs, Outputs::Console(_));
        let terminal = console && rustix::termios::isatty(&stdin);
        let mut wanted = PROXIED.to_vec();
        if terminal {
            wanted.push(libc::SIGWINCH);
        }
        let signals = SignalFd::new(&wanted).context(|| "cannot receive signals")?;
        let raw = match terminal && self.interactive {
            true => Some(RawMode::enter(stdin.as_fd()).context(|| "cannot switch the terminal to raw mode")?),
            false => None,
        };
        self.nonblocking()?;
        let end = self.pump(stdin.as_fd(), &signals);
        drop(raw);
        end
    }

    /// Takes what the process writes and drops it, until it has ended; answers its exit code.
    pub(super) fn abandon(mut self) -> u8 {
        let mut buffer = vec![0; CHUNK];
        loop {
            let outputs = [false, true].into_iter().filter_map(|stderr| self.source(stderr).map(|fd| (stderr, fd)));
            let (kinds, fds): (Vec<bool>, Vec<BorrowedFd<'_>>) = outputs.unzip();
            let mut polled = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
            polled.extend(fds.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            if poll(&mut polled, None).is_err() {
                continue;
            }
            let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready[0] {
                return self.reap();
            }
            for (stderr, ready) in kinds.into_iter().zip(&ready[1..]) {
                let Some(source) = self.source(stderr).filter(|_| *ready) else { continue };
                match rustix::io::read(source, &mut buffer[..]) {
                    Ok(1..) | Err(Errno::INTR | Errno::AGAIN) => {}
                    // A console without users: the end of the process follows.
                    Ok(0) | Err(_) if matches!(self.outputs, Outputs::Console(_)) => {
                        let _ = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], None);
                    }
                    Ok(0) | Err(_) => self.close(stderr),
                }
            }
        }
    }

    fn nonblocking(&self) -> Result<()> {
        let fds = match &self.outputs {
            Outputs::Pipes { stdout, stderr } => [stdout.as_ref(), stderr.as_ref(), self.input.as_ref()],
            Outputs::Console(master) => [Some(master), None, None],
        };
        fds.into_iter()
            .flatten()
            .try_for_each(|fd| rustix::io::ioctl_fionbio(fd, true))
            .context(|| "cannot make a descriptor non-blocking")
    }

    fn pump(&mut self, stdin: BorrowedFd<'_>, signals: &SignalFd) -> Result<End> {
        let mut buffer = vec![0; CHUNK];
        let mut pending: Vec<u8> = Vec::new();
        let mut feeding = self.interactive;
        let keys = std::mem::take(&mut self.detach_keys);
        let mut detacher = Detacher::new(&keys);
        loop {
            for source in self.wait(stdin, signals, feeding && pending.is_empty(), !pending.is_empty())? {
                match source {
                    Source::Process => {
                        let code = self.reap();
                        while self.output(false, &mut buffer)? || self.output(true, &mut buffer)? {}
                        return Ok(End::Exited(code));
                    }
                    Source::Signals => self.signals(signals, stdin),
                    Source::Stdin => match rustix::io::read(stdin, &mut buffer[..]) {
                        Ok(0) | Err(Errno::IO) => {
                            feeding = false;
                            self.input = None;
                        }
                        Ok(read) => {
                            let (data, step) = detacher.filter(&buffer[..read]);
                            pending.extend_from_slice(&data);
                            self.feed(&mut pending);
                            if step == Step::Detach {
                                return Ok(End::Detached);
                            }
                        }
                        Err(Errno::INTR | Errno::AGAIN) => {}
                        Err(e) => return Err(e).context(|| "cannot read standard input"),
                    },
                    Source::Room => self.feed(&mut pending),
                    Source::Output(stderr) => {
                        self.output(stderr, &mut buffer)?;
                    }
                }
            }
        }
    }

    fn wait(&self, stdin: BorrowedFd<'_>, signals: &SignalFd, hungry: bool, full: bool) -> Result<Vec<Source>> {
        let mut slots = vec![
            (Source::Process, self.pidfd.as_fd(), PollFlags::IN),
            (Source::Signals, signals.as_fd(), PollFlags::IN),
        ];
        if hungry {
            slots.push((Source::Stdin, stdin, PollFlags::IN));
        }
        if let Some(target) = self.target().filter(|_| full) {
            slots.push((Source::Room, target, PollFlags::OUT));
        }
        for stderr in [false, true] {
            if let Some(fd) = self.source(stderr) {
                slots.push((Source::Output(stderr), fd, PollFlags::IN));
            }
        }
        let mut fds: Vec<_> = slots.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        match poll(&mut fds, None) {
            Err(Errno::INTR) => return Ok(Vec::new()),
            result => result.context(|| "cannot wait for the process")?,
        };
        let ready = slots.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|((source, ..), _)| *source).collect())
    }

    fn target(&self) -> Option<BorrowedFd<'_>> {
        match &self.outputs {
            Outputs::Console(master) => Some(master.as_fd()),
            Outputs::Pipes { .. } => self.input.as_ref().map(AsFd::as_fd),
        }
    }

    fn source(&self, stderr: bool) -> Option<BorrowedFd<'_>> {
        match &self.outputs {
            Outputs::Console(master) => Some(master.as_fd()).filter(|_| !stderr),
            Outputs::Pipes { stdout: out, stderr: err } => if stderr { err } else { out }.as_ref().map(AsFd::as_fd),
        }
    }

    fn feed(&mut self, pending: &mut Vec<u8>) {
        while !pending.is_empty() {
            let Some(target) = self.target() else { break };
            match rustix::io::write(target, pending) {
                Ok(written) => drop(pending.drain(..written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nobody reads it any more.
                Err(_) => break,
            }
        }
        pending.clear();
    }

    /// Passes one chunk on; `false` when there is none now.
    fn output(&mut self, stderr: bool, buffer: &mut [u8]) -> Result<bool> {
        let Some(source) = self.source(stderr) else { return Ok(false) };
        let read = match rustix::io::read(source, &mut *buffer) {
            Ok(read @ 1..) => read,
            Err(Errno::INTR) => return Ok(true),
            Err(Errno::AGAIN) => return Ok(false),
            // The end of a pipe; a console without users.
            Ok(0) | Err(_) => {
                self.close(stderr);
                return Ok(false);
            }
        };
        let written = match stderr {
            false => write_all(&std::io::stdout(), &buffer[..read]),
            true => write_all(&std::io::stderr(), &buffer[..read]),
        };
        match written {
            // Nobody reads what we write: let the process know, as in a shell's pipeline.
            Err(Errno::PIPE) => self.close(stderr),
            result => result.context(|| "cannot write the output of the process")?,
        }
        Ok(true)
    }

    fn close(&mut self, stderr: bool) {
        match &mut self.outputs {
            Outputs::Pipes { stdout: out, stderr: err } => *if stderr { err } else { out } = None,
            // The end of the process follows.
            Outputs::Console(_) => {}
        }
    }

    fn signals(&self, signals: &SignalFd, stdin: BorrowedFd<'_>) {
        while let Some(number) = signals.next() {
            // It may have ended, its console may be gone: both are noticed elsewhere.
            let _ = match (number, &self.outputs, tty::size(stdin)) {
                (libc::SIGWINCH, Outputs::Console(master), Some(size)) => tty::resize(master, size),
                _ => signal::send(self.pidfd.as_fd(), number),
            };
        }
    }

    fn reap(&self) -> u8 {
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) => return exit_code(&status),
                Ok(None) | Err(Errno::INTR) => {}
                Err(_) => return 255,
            }
        }
    }
}
