//! Files that a crash cannot tear: written beside, flushed when it matters, renamed into place.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Context, Error, Result};

/// Whether a file must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// fsync before the rename: images, volumes, containers meant to stay.
    Synced,
    /// Atomic against a crash of rpod, not of the machine: run-time state, `--rm` containers.
    Volatile,
}

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// Prefix of files being written; whatever carries it and belongs to no living process may be removed.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Replaces `path` by `content`; readers see the old bytes or the new ones, never a mixture.
pub(crate) fn write(path: &Path, content: &[u8], durability: Durability) -> Result<()> {
    let what = || format!("cannot write {}", path.display());
    let dir = path.parent().ok_or_else(|| Error::new(what()))?;
    let temporary =
        dir.join(format!("{TEMPORARY_PREFIX}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    let written = (|| {
        // Nobody else's to change, also where the umask is 0.
        let mut file = File::options().write(true).create_new(true).mode(0o644).open(&temporary)?;
        file.write_all(content)?;
        if durability == Durability::Synced {
            file.sync_all()?;
        }
        std::fs::rename(&temporary, path)?;
        if durability == Durability::Synced {
            File::open(dir)?.sync_all()?;
        }
        Ok::<_, std::io::Error>(())
    })();
    if written.is_err() {
        // The file may not exist, and the first error is the one worth telling.
        let _ = std::fs::remove_file(&temporary);
    }
    written.context(what)
}

/// [`write`] that never makes the file anew: one that somebody removes meanwhile stays removed. `false`: there is none.
pub(crate) fn replace_json<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let beside = path.with_extension(format!("new-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    write_json(&beside, value, durability)?;
    // Exchanged, not renamed over: that fails where there is nothing to exchange with (rename(2), RENAME_EXCHANGE).
    let exchanged = renameat_with(CWD, &beside, CWD, path, RenameFlags::EXCHANGE);
    // Holds the old value now. Who removes the directory removes it as well.
    let _ = std::fs::remove_file(&beside);
    match exchanged {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(e) => Err(Error::wrap(format!("cannot replace {}", path.display()), e)),
    }
}

/// [`write`] of `value` as JSON.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<()> {
    let content = serde_json::to_vec(value).context(|| format!("cannot encode {}", path.display()))?;
    write(path, &content, durability)
}

/// Reads a JSON file; `None` when it does not exist.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(content) => serde_json::from_slice(&content)
            .map(Some)
            .context(|| format!("cannot read {}: not what rpod wrote", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::wrap(format!("cannot read {}", path.display()), e)),
    }
}
