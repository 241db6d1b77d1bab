//! The three places rpod writes to (DESIGN: "On disk").
//!
//! ```text
//! data     $XDG_DATA_HOME/rpod                     images, layers, volumes: immutable or shared, may be a network file system
//! host     $XDG_STATE_HOME/rpod/hosts/<machine-id> containers of this host: records, upper directories, logs
//! runtime  $XDG_RUNTIME_DIR/rpod                   pids, sockets, locks, records of --rm containers; gone after a reboot
//! ```
//!
//! `RPOD_ROOT` (or `--root`) moves `data`, `RPOD_STATE` moves the parent of `host`, `RPOD_RUNTIME` moves `runtime`.
//! Where no login session made a runtime directory (su, cron, ssh to an HPC node), a private one under /tmp is used,
//! after checking that it is ours and nobody else can write to it (see [`super::runtime`]).

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};

/// Environment variables that move rpod's directories.
pub(crate) const ENV_ROOT: &str = "RPOD_ROOT";
pub(crate) const ENV_STATE: &str = "RPOD_STATE";
pub(crate) const ENV_RUNTIME: &str = "RPOD_RUNTIME";

/// Resolved, absolute directories. They exist only after [`Dirs::create`].
#[derive(Debug, Clone)]
pub(crate) struct Dirs {
    pub data: PathBuf,
    pub host: PathBuf,
    pub runtime: PathBuf,
}

impl Dirs {
    /// Finds the directories without touching the disk more than needed; `root` and `runroot` are the options of these
    /// names.
    ///
    /// # Errors
    /// When neither HOME nor the variable that would replace it is set, or the runtime directory is not safe to use.
    pub(crate) fn resolve(root: Option<&Path>, runroot: Option<&Path>) -> Result<Self> {
        let data = match root.map(Path::to_path_buf).or_else(|| env_dir(ENV_ROOT)) {
            Some(dir) => absolute(&dir)?,
            None => xdg("XDG_DATA_HOME", ".local/share")?.join("rpod"),
        };
        let state = match env_dir(ENV_STATE) {
            Some(dir) => absolute(&dir)?,
            None => xdg("XDG_STATE_HOME", ".local/state")?.join("rpod"),
        };
        let host = state.join("hosts").join(machine_id());
        let runtime = match runroot.map(Path::to_path_buf).or_else(|| env_dir(ENV_RUNTIME)) {
            Some(dir) => absolute(&dir)?,
            None => super::runtime::find(&host)?,
        };
        Ok(Self { data, host, runtime })
    }

    /// Makes the three directories, private to the user.
    pub(crate) fn create(&self) -> Result<()> {
        for dir in [&self.data, &self.host, &self.runtime] {
            create_private(dir)?;
        }
        Ok(())
    }
}

/// `mkdir -p` with mode 0700 for what is made. One system call when it is there already.
pub(crate) fn create_private(dir: &Path) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .context(|| format!("cannot create {}", dir.display())),
        Err(e) => Err(Error::wrap(format!("cannot create {}", dir.display()), e)),
    }
}

pub(super) fn env_dir(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// The XDG base directory specification: a relative value is to be ignored.
fn xdg(name: &str, below_home: &str) -> Result<PathBuf> {
    if let Some(dir) = env_dir(name).filter(|d| d.is_absolute()) {
        return Ok(dir);
    }
    Ok(home()?.join(below_home))
}

/// The user's home: `HOME`, else the password database's entry.
pub(crate) fn home() -> Result<PathBuf> {
    if let Some(home) = env_dir("HOME").filter(|d| d.is_absolute()) {
        return Ok(home);
    }
    let uid = rustix::process::getuid().as_raw();
    passwd_home(uid).ok_or_else(|| {
        Error::new("cannot tell where to keep images and containers: HOME is not set")
            .hint(format!("set HOME, or {ENV_ROOT} and {ENV_STATE} to directories of your own"))
    })
}

fn passwd_home(uid: u32) -> Option<PathBuf> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (_name, _pw, id) = (fields.next()?, fields.next()?, fields.next()?);
        if id.parse() != Ok(uid) {
            return None;
        }
        fields.nth(2).filter(|home| home.starts_with('/')).map(PathBuf::from)
    })
}

fn absolute(dir: &Path) -> Result<PathBuf> {
    std::path::absolute(dir).context(|| format!("cannot make {} an absolute path", dir.display()))
}

/// Tells hosts apart that share one home directory.
fn machine_id() -> OsString {
    if let Ok(id) = std::fs::read_to_string("/etc/machine-id") {
        let id = id.trim();
        if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return id.into();
        }
    }
    let host = rustix::system::uname().nodename().to_string_lossy().replace('/', "_");
    format!("host-{host}").into()
}
