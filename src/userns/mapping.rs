//! Gives a process that sits in a new user namespace its ids (user_namespaces(7), newuidmap(1)).
//!
//! The kernel takes one write per map. A user may write a single id of their own; whoever has CAP_SETUID and CAP_SETGID
//! may write anything; everybody else needs newuidmap and newgidmap, which run side by side.

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::process::Pid;
use rustix::thread::CapabilitySet;

use super::{IdMaps, IdRange};
use crate::error::{Context, Error, Result};
use crate::sys::spawn::{self, Spawned};

/// How many ranges a map may have (user_namespaces(7), Linux 4.15).
pub(crate) const MAX_RANGES: usize = 340;

const NEWUIDMAP: &str = "newuidmap";
const NEWGIDMAP: &str = "newgidmap";

/// Maps being written; [`Pending::finish`] waits for them.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pending(Option<Helpers>);

#[derive(Debug)]
struct Helpers {
    uids: Spawned,
    gids: Spawned,
    /// What both of them have to say.
    messages: File,
}

/// Whether this process may write any map by itself: root with CAP_SETUID and CAP_SETGID.
pub(super) fn may_map_all() -> bool {
    rustix::process::geteuid().is_root()
        && rustix::thread::capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETUID | CapabilitySet::SETGID))
}

/// The helper that is not installed, if any.
pub(super) fn missing_program() -> Option<&'static str> {
    [NEWUIDMAP, NEWGIDMAP].into_iter().find(|name| find(name).is_none())
}

/// Starts mapping `maps` for the process `pid`, which this process forked into a new user namespace.
pub(crate) fn start(pid: Pid, maps: &IdMaps) -> Result<Pending> {
    let own = |ranges: &[IdRange], id: u32| matches!(ranges, [IdRange { host, size: 1, .. }] if *host == id);
    let single =
        own(&maps.uids, rustix::process::geteuid().as_raw()) && own(&maps.gids, rustix::process::getegid().as_raw());
    if single || may_map_all() {
        write_directly(pid, maps, single)?;
        return Ok(Pending(None));
    }
    let (messages, their_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .context(|| "cannot make a pipe for newuidmap's messages")?;
    let run = |name: &str, ranges: &[IdRange]| {
        let program = find(name).ok_or_else(|| {
            Error::new(format!("{name} is not installed")).hint("install it (Debian: uidmap, Fedora: shadow-utils)")
        })?;
        spawn::with_stderr(&arguments(&program, pid, ranges)?, &their_end).context(|| format!("cannot run {name}"))
    };
    let uids = run(NEWUIDMAP, &maps.uids)?;
    let gids = match run(NEWGIDMAP, &maps.gids) {
        Ok(gids) => gids,
        Err(e) => {
            // The first error is the one worth telling; the helper must not stay a zombie.
            let _ = uids.wait();
            return Err(e);
        }
    };
    Ok(Pending(Some(Helpers { uids, gids, messages: messages.into() })))
}

impl Pending {
    /// Waits until both maps are written.
    pub(crate) fn finish(self) -> Result<()> {
        let Some(Helpers { uids, gids, mut messages }) = self.0 else { return Ok(()) };
        let (uids, gids) = (uids.wait(), gids.wait());
        let uids = uids.context(|| "cannot wait for newuidmap")?;
        let gids = gids.context(|| "cannot wait for newgidmap")?;
        if uids == 0 && gids == 0 {
            return Ok(());
        }
        let mut text = String::new();
        // Without the text the exit codes still tell which of them failed.
        let _ = messages.read_to_string(&mut text);
        let failed = if uids != 0 { NEWUIDMAP } else { NEWGIDMAP };
        Err(Error::new(format!("{failed} refused to map the ids of this user: {}", text.trim().replace('\n', "; ")))
            .hint("check the user's lines in /etc/subuid and /etc/subgid")
            .hint(format!(
                "check that {failed} is setuid root or has its file capability, on a file system without nosuid"
            )))
    }
}

/// uid_map before gid_map is of no matter; setgroups must be denied first where gid_map is written without privilege.
fn write_directly(pid: Pid, maps: &IdMaps, deny_setgroups: bool) -> Result<()> {
    let pid = pid.as_raw_nonzero();
    let write = |name: &str, content: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .context(|| format!("cannot write {path}"))
    };
    write("uid_map", &lines(&maps.uids))?;
    if deny_setgroups && !may_map_all() {
        write("setgroups", "deny")?;
    }
    write("gid_map", &lines(&maps.gids))
}

pub(super) fn lines(ranges: &[IdRange]) -> String {
    ranges.iter().fold(String::new(), |mut text, r| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {} {}", r.container, r.host, r.size);
        text
    })
}

/// `program PID inside outside size …`
fn arguments(program: &Path, pid: Pid, ranges: &[IdRange]) -> Result<Vec<CString>> {
    let mut args = Vec::with_capacity(2 + 3 * ranges.len());
    args.push(CString::new(program.as_os_str().as_bytes()).context(|| "a program's path has a zero byte")?);
    let numbers = ranges.iter().flat_map(|r| [r.container, r.host, r.size]);
    for number in std::iter::once(pid.as_raw_nonzero().get().unsigned_abs()).chain(numbers) {
        args.push(CString::new(number.to_string()).context(|| "a number has a zero byte")?);
    }
    Ok(args)
}

/// Finds a helper on PATH, else where distributions put it: cron and ssh often have a short PATH.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .chain(["/usr/bin", "/bin", "/usr/sbin", "/run/wrappers/bin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok())
}
