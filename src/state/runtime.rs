//! Which runtime directory it is, the same one for every shell of the user.
//!
//! The environment is no stable answer: su, cron and ssh differ in `XDG_RUNTIME_DIR`, batch systems set `TMPDIR` for each
//! job. The first directory that was chosen is remembered beside the containers' records, and holds as long as it is
//! there: what two processes disagree about would make one of them take the other's containers for dead.

use std::ffi::OsStr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::paths::{ENV_RUNTIME, create_private, env_dir};
use crate::error::{Context, Error, Result};

/// The symbolic link beside the records.
const LINK: &str = "runtime";

/// The runtime directory of the containers in `host`: the one in use, else the environment's, remembered from now on.
pub(super) fn find(host: &Path) -> Result<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let remembered = remembered(host);
    // The usual case: it is the session's, as before.
    let session = session(uid);
    if let (Some(dir), Some(session)) = (&remembered, &session)
        && dir.parent() == Some(session)
    {
        return Ok(session.join(NAME));
    }
    if let Some(dir) = remembered.filter(|dir| in_use(dir)) {
        return Ok(dir);
    }
    let base = match session {
        Some(dir) => dir,
        None => fallback(uid)?,
    };
    let dir = base.join(NAME);
    remember(host, &dir)?;
    Ok(dir)
}

/// rpod's own directory in it.
const NAME: &str = "rpod";

/// What is remembered, if it still is a directory of ours.
pub(crate) fn remembered(host: &Path) -> Option<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let dir = std::fs::read_link(host.join(LINK)).ok()?;
    let base = dir.parent().filter(|_| dir.is_absolute() && dir.file_name() == Some(OsStr::new(NAME)))?;
    // Not followed: in /tmp a link may be somebody else's.
    let meta = std::fs::symlink_metadata(base).ok()?;
    (meta.is_dir() && private(&meta, uid)).then_some(dir)
}

/// Whether a container has files there: otherwise a better directory may take its place.
fn in_use(dir: &Path) -> bool {
    std::fs::read_dir(dir.join("containers")).is_ok_and(|mut entries| entries.next().is_some())
}

fn remember(host: &Path, dir: &Path) -> Result<()> {
    let link = host.join(LINK);
    if std::fs::read_link(&link).is_ok_and(|old| old == dir) {
        return Ok(());
    }
    let what = || format!("cannot remember the runtime directory in {}", link.display());
    create_private(host)?;
    let new = host.join(format!("{LINK}.{}", std::process::id()));
    let _ = std::fs::remove_file(&new);
    std::os::unix::fs::symlink(dir, &new).and_then(|()| std::fs::rename(&new, &link)).context(what)
}

/// `XDG_RUNTIME_DIR`, else `/run/user/UID`; the first that is a directory of ours, without links in its path.
fn session(uid: u32) -> Option<PathBuf> {
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    let mut dirs = env_dir("XDG_RUNTIME_DIR").filter(|dir| dir.is_absolute()).into_iter().chain([usual]);
    let dir = dirs.find(|dir| std::fs::metadata(dir).is_ok_and(|meta| meta.is_dir() && private(&meta, uid)))?;
    match std::fs::symlink_metadata(&dir) {
        Ok(meta) if meta.is_symlink() => std::fs::canonicalize(&dir).ok(),
        _ => Some(dir),
    }
}

/// `rpod-UID` in the directory of temporary files.
fn fallback(uid: u32) -> Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("rpod-{uid}"));
    match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::wrap(format!("cannot create the runtime directory {}", dir.display()), e)
                .hint(format!("set {ENV_RUNTIME} to a local directory of your own")));
        }
        _ => {}
    }
    // Somebody else may have made it first, or put a link there: /tmp belongs to everyone.
    let meta = std::fs::symlink_metadata(&dir).context(|| format!("cannot examine {}", dir.display()))?;
    if !meta.is_dir() || meta.uid() != uid || meta.mode() & 0o077 != 0 {
        return Err(Error::new(format!("{} is not a private directory of uid {uid}", dir.display()))
            .hint(format!("set {ENV_RUNTIME} to a local directory of your own")));
    }
    Ok(dir)
}

/// Nobody else can put something there.
fn private(meta: &std::fs::Metadata, uid: u32) -> bool {
    meta.uid() == uid && meta.mode() & 0o022 == 0
}
