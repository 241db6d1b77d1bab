//! A trial's own world: a fresh home, runtime directory and store, and the proof that nothing of it is left.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::command::Cmd;
use super::trial::{Outcome, Stop};
use super::user::{Account, User, is_root};
use super::{cache, image};

/// A process that belongs to a trial.
#[derive(Debug, Clone)]
pub struct Leftover {
    pub pid: u32,
    pub name: String,
    pub command: String,
}

#[derive(Debug)]
pub struct Sandbox {
    user: User,
    account: Account,
    dir: PathBuf,
    /// Stands in the environment of every process started here, so that strays can be found.
    mark: String,
    /// Options put before every verb (`--storage-driver copy`).
    global: Mutex<Vec<String>>,
}

impl Sandbox {
    pub(super) fn new(user: User) -> Result<Self, Stop> {
        let account = user.account()?;
        let number = cache::unique();
        // Short: sockets below it have names of at most 108 bytes.
        let dir = cache::run_dir().join(number.to_string());
        let mark = format!("RPOD_TEST_TRIAL={}.{number}", std::process::id());
        for below in ["", "home", "run", "tmp"] {
            let path = dir.join(below);
            DirBuilder::new().mode(0o700).create(&path)?;
            account.own(&path)?;
        }
        Ok(Self { user, account, dir, mark, global: Mutex::new(Vec::new()) })
    }

    pub fn user(&self) -> User {
        self.user
    }

    pub fn uid(&self) -> u32 {
        self.account.uid
    }

    /// The user's own directory; `home`, `run` and `tmp` are in it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// Where rpod keeps images of this sandbox.
    pub fn data(&self) -> PathBuf {
        self.home().join(".local/share/rpod")
    }

    pub fn binary(&self) -> &'static Path {
        cache::binary()
    }

    /// From now on every rpod command uses this driver.
    pub fn use_driver(&self, driver: &str) {
        *self.global.lock().unwrap() = vec!["--storage-driver".to_owned(), driver.to_owned()];
    }

    /// `rpod ARGS` as this user.
    pub fn rpod<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> Cmd {
        let global = self.global.lock().unwrap().clone();
        let args: Vec<OsString> =
            global.into_iter().map(OsString::from).chain(args.into_iter().map(Into::into)).collect();
        self.program(cache::binary(), args)
    }

    /// A shell script in which `rpod` is the binary under test.
    pub fn script(&self, script: &str) -> Cmd {
        self.program("/bin/bash", ["-euo", "pipefail", "-c", script])
    }

    /// Any program as this user, with this sandbox's environment.
    pub fn program<A: Into<OsString>>(&self, program: impl AsRef<Path>, args: impl IntoIterator<Item = A>) -> Cmd {
        let (name, value) = self.mark.split_once('=').unwrap();
        // Copied on first use, so that scripts find it too.
        let bin = cache::binary().parent().unwrap().display();
        let own = self.home().join("bin");
        let path = format!("{bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:{}", own.display());
        Cmd::new(program, args)
            .account(&self.account)
            .current_dir(self.home())
            .env("HOME", self.home())
            .env("USER", &self.account.name)
            .env("LOGNAME", &self.account.name)
            .env("XDG_RUNTIME_DIR", self.dir.join("run"))
            .env("TMPDIR", self.dir.join("tmp"))
            .env("PATH", path)
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm")
            .env(name, value)
    }

    /// Any program as root, with this sandbox's environment; `setpriv` in [`Sandbox::become_user`] gives the privileges up.
    pub fn program_as_root<A: Into<OsString>>(
        &self,
        program: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
    ) -> Cmd {
        self.program(program, args).without_account()
    }

    /// A shell's words that run what follows as this user.
    pub fn become_user(&self) -> String {
        format!("setpriv --reuid {} --regid {} --clear-groups --", self.account.uid, self.account.gid)
    }

    /// A file of this user, with the directories above it, below [`Sandbox::dir`].
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf, Stop> {
        let path = self.dir.join(name);
        self.make_dir(path.parent().unwrap())?;
        std::fs::write(&path, content)?;
        self.account.own(&path)?;
        Ok(path)
    }

    /// A directory of this user.
    pub fn mkdir(&self, name: &str) -> Result<PathBuf, Stop> {
        let path = self.dir.join(name);
        self.make_dir(&path)?;
        Ok(path)
    }

    fn make_dir(&self, path: &Path) -> std::io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|p| !p.exists()).collect();
        for dir in missing.into_iter().rev() {
            std::fs::create_dir(dir)?;
            self.account.own(dir)?;
        }
        Ok(())
    }

    /// Loads the busybox image; its name.
    pub fn busybox(&self) -> Result<&'static str, Stop> {
        let archive = image::busybox_archive()?;
        self.rpod(["load", "-q", "-i", archive.to_str().unwrap()]).run().ok();
        Ok(image::BUSYBOX)
    }

    /// Loads the Debian image with nginx in it; its name.
    pub fn debian(&self) -> Result<&'static str, Stop> {
        let archive = super::debian::archive()?;
        let load = self.rpod(["load", "-q", "-i", archive.to_str().unwrap()]);
        load.limit(Duration::from_secs(180)).run().ok();
        Ok(super::DEBIAN)
    }

    /// Every process of this sandbox that still lives: started from it (its environment says so), with a mount of it, or a
    /// child of such a one. rpod's helpers get no environment but PATH, which names the sandbox too.
    pub fn processes(&self) -> Vec<Leftover> {
        let own = std::process::id();
        let dir = self.dir.to_str().unwrap();
        let below = format!("{dir}/");
        let mut found: Vec<Leftover> = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
            if pid == own {
                continue;
            }
            let proc = entry.path();
            let environ = std::fs::read(proc.join("environ")).unwrap_or_default();
            let ours = environ.windows(below.len()).any(|part| part == below.as_bytes())
                || environ.split(|b| *b == 0).any(|variable| variable == self.mark.as_bytes())
                || mentions(&proc.join("mountinfo"), dir)
                || parent(&proc).is_some_and(|parent| found.iter().any(|process| process.pid == parent));
            if !ours || is_zombie(&proc) {
                continue;
            }
            let command = std::fs::read(proc.join("cmdline")).unwrap_or_default();
            found.push(Leftover {
                pid,
                name: std::fs::read_to_string(proc.join("comm")).unwrap_or_default().trim().to_owned(),
                command: String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned(),
            });
        }
        found
    }

    /// The processes of that name (as in /proc/PID/comm) or program.
    pub fn processes_named(&self, name: &str) -> Vec<Leftover> {
        let program = |process: &Leftover| {
            // pasta executes the variant of itself that the processor is best at, which renames it.
            let path = process.command.split(' ').next().unwrap_or_default();
            path.rsplit('/').next().is_some_and(|file| file == name)
        };
        self.processes().into_iter().filter(|process| process.name == name || program(process)).collect()
    }

    /// Waits until no process of this sandbox is left; what is left otherwise.
    pub fn leftovers(&self, patience: Duration) -> Vec<Leftover> {
        let end = Instant::now() + patience;
        loop {
            let found = self.processes();
            if found.is_empty() || Instant::now() >= end {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Files rpod should not have left: everything in TMPDIR, and staging areas of its store.
    pub fn stray_files(&self) -> Vec<PathBuf> {
        let mut stray = Vec::new();
        for dir in [self.dir.join("tmp"), self.data().join("staging"), self.data().join("trash")] {
            stray.extend(std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        stray
    }

    /// Removes the containers, checks that nothing is left, removes the directory.
    pub(super) fn finish(&self, passed: bool) -> Outcome {
        let removal = (passed && self.has_containers())
            .then(|| self.rpod(["rm", "--force", "--time", "0", "--all"]).limit(Duration::from_secs(30)).run());
        let left = if passed { self.leftovers(Duration::from_secs(5)) } else { self.processes() };
        for process in &left {
            if let Some(pid) = Pid::from_raw(process.pid.cast_signed()) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let mounted = mentions(Path::new("/proc/self/mountinfo"), self.dir.to_str().unwrap());
        let stray = if passed { self.stray_files() } else { Vec::new() };
        if passed || std::env::var_os("RPOD_TEST_KEEP").is_none() {
            self.leftovers(Duration::from_secs(5));
            self.remove_dir();
        }
        if !passed {
            return Ok(());
        }
        if let Some(removal) = removal {
            removal.ok();
        }
        let mut complaints: Vec<String> =
            left.iter().map(|p| format!("process {} {} [{}]", p.pid, p.name, p.command)).collect();
        complaints.extend(stray.iter().map(|path| format!("file {}", path.display())));
        complaints.extend(mounted.then(|| "a mount in the host's namespace".to_owned()));
        if complaints.is_empty() { Ok(()) } else { Err(Stop::Fail(format!("left behind: {}", complaints.join(", ")))) }
    }

    /// Without asking rpod, so that trials which use no container do not pay for the question.
    fn has_containers(&self) -> bool {
        let hosts = self.home().join(".local/state/rpod/hosts");
        let kept = std::fs::read_dir(hosts).into_iter().flatten().flatten().map(|host| host.path().join("containers"));
        kept.chain([self.dir.join("run/rpod/containers")])
            .any(|dir| std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()))
    }

    fn remove_dir(&self) {
        if std::fs::remove_dir_all(&self.dir).is_err() && !is_root() {
            // Files of subordinate ids can be removed only from within the user's map.
            let _ = self.rpod(["unshare", "rm", "-rf", self.dir.to_str().unwrap()]).run();
        }
    }
}

fn mentions(mountinfo: &Path, dir: &str) -> bool {
    // Followed by a slash, so that …/1 is not found in …/12.
    std::fs::read_to_string(mountinfo).is_ok_and(|text| text.contains(&format!("{dir}/")))
}

fn parent(proc: &Path) -> Option<u32> {
    let stat = std::fs::read_to_string(proc.join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn is_zombie(proc: &Path) -> bool {
    let stat = std::fs::read_to_string(proc.join("stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}
