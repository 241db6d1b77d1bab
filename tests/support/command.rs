//! Running a program with its output captured and a limit on its time.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::pty::Pty;
use super::user::Account;

/// A command to be: plain data until it is started.
#[derive(Debug, Clone)]
pub struct Cmd {
    program: PathBuf,
    args: Vec<OsString>,
    /// Its whole environment.
    env: BTreeMap<OsString, OsString>,
    dir: Option<PathBuf>,
    account: Option<Account>,
    stdin: Option<Vec<u8>>,
    limit: Duration,
}

impl Cmd {
    /// A program as the user who runs the tests, with an environment of PATH alone.
    pub fn new<A: Into<OsString>>(program: impl AsRef<Path>, args: impl IntoIterator<Item = A>) -> Self {
        let path = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
        Self {
            program: program.as_ref().to_path_buf(),
            args: args.into_iter().map(Into::into).collect(),
            env: BTreeMap::from([("PATH".into(), path.into())]),
            dir: None,
            account: None,
            stdin: None,
            limit: Duration::from_secs(60),
        }
    }

    pub(super) fn account(mut self, account: &Account) -> Self {
        self.account = Some(account.clone());
        self
    }

    pub(super) fn without_account(mut self) -> Self {
        self.account = None;
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub fn env_remove(mut self, name: &str) -> Self {
        self.env.remove(OsStr::new(name));
        self
    }

    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_path_buf());
        self
    }

    /// What the program reads; without it, nothing (/dev/null).
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// How long it may take; a minute if not said.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The command under another: `under(["strace", "-f"])`, `under(["ip", "netns", "exec", NAME])`.
    pub fn under<A: Into<OsString>>(mut self, wrapper: impl IntoIterator<Item = A>) -> Self {
        let mut words = wrapper.into_iter().map(Into::into);
        let program = PathBuf::from(words.next().expect("a program to run it under"));
        let inner = std::mem::replace(&mut self.program, program).into_os_string();
        let args = std::mem::take(&mut self.args);
        self.args = words.chain([inner]).chain(args).collect();
        self
    }

    fn build(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(&self.env);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        if let Some(account) = &self.account {
            account.become_in(&mut command);
        }
        command
    }

    fn shown(&self) -> String {
        let program = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.args.iter().fold(program, |shown, arg| format!("{shown} {}", arg.to_string_lossy()))
    }

    /// Runs to the end. Panics when it takes too long; the exit code is for the caller to judge.
    #[track_caller]
    pub fn run(mut self) -> Output {
        let input = self.stdin.take();
        let mut running = self.start(input.is_some());
        if let (Some(bytes), Some(mut stdin)) = (input, running.stdin.take()) {
            // A writer of its own: a program that does not read all of it must not hang the test.
            std::thread::spawn(move || {
                let _ = stdin.write_all(&bytes);
            });
        }
        running.finish()
    }

    /// Starts it with a pipe as stdin, to be talked to.
    #[track_caller]
    pub fn spawn(self) -> Running {
        self.start(true)
    }

    /// Starts it in a session of its own on a new pseudo-terminal.
    #[track_caller]
    pub fn pty(self, rows: u16, cols: u16) -> Pty {
        let shown = self.shown();
        let limit = self.limit;
        // `setsid --ctty` (util-linux) makes the terminal the session's own, which would need code after fork otherwise.
        Pty::start(self.under(["setsid", "--ctty"]).build(), shown, limit, rows, cols)
    }

    #[track_caller]
    fn start(self, with_stdin: bool) -> Running {
        let shown = self.shown();
        let mut command = self.build();
        command.stdin(if with_stdin { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(e) => panic!("cannot start {shown}: {e}"),
        };
        let out = Capture::of(child.stdout.take().unwrap());
        let err = Capture::of(child.stderr.take().unwrap());
        Running {
            stdin: child.stdin.take(),
            child,
            out,
            err,
            shown,
            end: Instant::now() + self.limit,
            limit: self.limit,
            ended: None,
        }
    }
}

/// Bytes read so far from a pipe, by a thread of its own.
#[derive(Debug)]
struct Capture {
    bytes: Arc<(Mutex<Vec<u8>>, Condvar)>,
    reader: JoinHandle<()>,
}

impl Capture {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let shared = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 16384];
            while let Ok(n @ 1..) = pipe.read(&mut buffer) {
                shared.0.lock().unwrap().extend_from_slice(&buffer[..n]);
                shared.1.notify_all();
            }
            shared.1.notify_all();
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.0.lock().unwrap()).into_owned()
    }

    /// Waits for the text to satisfy the condition.
    fn wait(&self, end: Instant, condition: impl Fn(&str) -> bool) -> bool {
        let mut guard = self.bytes.0.lock().unwrap();
        loop {
            if condition(&String::from_utf8_lossy(&guard)) {
                return true;
            }
            if self.reader.is_finished() || Instant::now() >= end {
                return condition(&String::from_utf8_lossy(&guard));
            }
            guard = self.bytes.1.wait_timeout(guard, Duration::from_millis(50)).unwrap().0;
        }
    }
}

/// A program that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    out: Capture,
    err: Capture,
    shown: String,
    end: Instant,
    limit: Duration,
    ended: Option<ExitStatus>,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let _ = kill_process(pid, signal);
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("stdin is closed");
        stdin.write_all(bytes.as_ref()).unwrap();
        stdin.flush().unwrap();
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        self.out.text()
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until stdout contains the text.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        if !self.out.wait(self.end.min(Instant::now() + Duration::from_secs(30)), |have| have.contains(text)) {
            panic!("{}: no {text:?} in:\n{}\nstderr:\n{}", self.shown, self.out.text(), self.err.text());
        }
    }

    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended.is_some()
    }

    /// Closes stdin and waits for the end.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        self.close_stdin();
        self.wait()
    }

    /// Waits for the end with stdin as it is.
    #[track_caller]
    pub fn wait(mut self) -> Output {
        while !self.has_ended() {
            if Instant::now() >= self.end {
                let _ = self.child.kill();
                panic!(
                    "{}: still running after {:?}\nstdout:\n{}\nstderr:\n{}",
                    self.shown,
                    self.limit,
                    self.out.text(),
                    self.err.text()
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // The program has ended: its pipes must end too, or a child of it (a monitor, a helper) kept them.
        let end = Instant::now() + Duration::from_secs(5);
        for (name, capture) in [("stdout", &self.out), ("stderr", &self.err)] {
            while !capture.reader.is_finished() {
                assert!(
                    Instant::now() < end,
                    "{}: ended, but another process holds its {name}\nstdout:\n{}\nstderr:\n{}",
                    self.shown,
                    self.out.text(),
                    self.err.text()
                );
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        let status = self.ended.unwrap();
        Output {
            shown: self.shown.clone(),
            code: status.code(),
            signal: status.signal(),
            stdout: self.out.text(),
            stdout_bytes: self.out.bytes.0.lock().unwrap().clone(),
            stderr: self.err.text(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// How a program ended and what it said. The checks return `self`, to be chained.
#[derive(Debug)]
pub struct Output {
    pub shown: String,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stdout_bytes: Vec<u8>,
    pub stderr: String,
}

impl Output {
    /// Exit code 0; gives stdout without its last newline.
    #[track_caller]
    pub fn ok(&self) -> &str {
        self.code(0);
        self.stdout.strip_suffix('\n').unwrap_or(&self.stdout)
    }

    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert!(self.code == Some(code), "exit code {code} expected\n{self}");
        self
    }

    /// Fails with this code and says all of these on stderr.
    #[track_caller]
    pub fn fails(&self, code: i32, says: &[&str]) -> &Self {
        self.code(code);
        says.iter().for_each(|text| {
            self.says(text);
        });
        self
    }

    /// stderr contains the text, whatever the case of its letters.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.to_lowercase().contains(&text.to_lowercase()), "no {text:?} on stderr\n{self}");
        self
    }

    #[track_caller]
    pub fn prints(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "no {text:?} on stdout\n{self}");
        self
    }

    /// stdout is exactly these lines.
    #[track_caller]
    pub fn lines_are(&self, lines: &[&str]) -> &Self {
        assert!(self.stdout.lines().eq(lines.iter().copied()), "expected {lines:#?}\n{self}");
        self
    }

    /// stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let text = self.ok();
        serde_json::from_str(text).unwrap_or_else(|e| panic!("not JSON: {e}\n{self}"))
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = match (self.code, self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (_, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        write!(f, "{}: {end}\nstdout:\n{}\nstderr:\n{}", self.shown, self.stdout, self.stderr)
    }
}
