//! A person at a terminal: a program in a session of its own on a pseudo-terminal, typed at and read from.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

/// A program on a terminal. Dropped, it is killed.
#[derive(Debug)]
pub struct Pty {
    master: File,
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
    /// How much of what was seen earlier `expect`s have used up.
    used: usize,
    shown: String,
    end: Instant,
}

impl Pty {
    /// `command` makes its stdin the terminal of a new session.
    #[track_caller]
    pub(super) fn start(mut command: Command, shown: String, limit: Duration, rows: u16, cols: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();

        command.stdin(Stdio::from(terminal.try_clone().unwrap()));
        command.stdout(Stdio::from(terminal.try_clone().unwrap())).stderr(Stdio::from(terminal));
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {shown}: {e}"));
        // The command holds the terminal's other end; the master reads an error once nobody does.
        drop(command);

        let master = File::from(master);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, shared) = (master.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                shared.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        Self { master, child, seen, used: 0, shown, end: Instant::now() + limit }
    }

    /// Types.
    pub fn send(&mut self, keys: impl AsRef<[u8]>) {
        self.master.write_all(keys.as_ref()).unwrap();
    }

    pub fn resize(&self, rows: u16, cols: u16) {
        tcsetwinsize(&self.master, Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal);
    }

    /// Whether the terminal is in raw mode (no line editing, no echo).
    pub fn is_raw(&self) -> bool {
        use rustix::termios::LocalModes;
        tcgetattr(&self.master).is_ok_and(|t| !t.local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO))
    }

    /// Everything shown so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Waits until the text is shown after what earlier calls waited for.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let end = self.end.min(Instant::now() + Duration::from_secs(20));
        loop {
            {
                let seen = self.seen.lock().unwrap();
                let new = &seen[self.used..];
                if let Some(at) = new.windows(text.len()).position(|window| window == text.as_bytes()) {
                    self.used += at + text.len();
                    return;
                }
            }
            assert!(Instant::now() < end, "{}: no {text:?} on the terminal:\n{}", self.shown, self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end: the exit code, 128 + signal when one ended it.
    #[track_caller]
    pub fn finish(mut self) -> i32 {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            }
            assert!(Instant::now() < self.end, "{}: still running; shown so far:\n{}", self.shown, self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
