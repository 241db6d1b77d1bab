//! Layers whose files may not be on the disk yet. Waiting for the disk would take a third of the time of unpacking many
//! files, and longer where others write a lot, as syncfs(2) waits for that as well; yet what was pulled can be pulled
//! again. So such a layer gets its name at once and a mark beside it, and a process of its own flushes later.
//!
//! ```text
//! unflushed/<diffid>.<id> → <boot id>    made before the layer gets its name, removed after the flush
//! ```
//! A mark of another boot says that the machine may have gone down in between. These file systems keep directories and
//! attributes in the order in which they were changed, so a layer that has its name has them, and its mark; the content of
//! files may be missing. The next process reads the layer, and removes it if its digest is another one now.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{readlink, statfs, syncfs};
use rustix::io::Errno;

use super::unpack::pack;
use super::{Store, remove};
use crate::error::{Context, Result};
use crate::image::digest::DiffId;
use crate::state::id;
use crate::state::paths::create_private;

/// f_type (statfs(2)) of file systems with a journal, or copy on write, that keeps the order of changes; and tmpfs, which
/// loses all or nothing.
const ORDERED: [u64; 4] = [
    0xef53,      // ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x0102_1994, // tmpfs
];

impl Store {
    /// Marks a layer that is going to get its name unflushed; false where it has to be flushed before that.
    pub(super) fn mark_unflushed(&self, diff_id: &DiffId) -> Result<bool> {
        let Some(boot) = boot_id().filter(|_| keeps_order(&self.layers_dir())) else { return Ok(false) };
        let dir = self.unflushed_dir();
        let mark = dir.join(format!("{}.{}", diff_id.hex(), id::short(&id::random()?)));
        let failed = || format!("cannot create {}", mark.display());
        loop {
            match rustix::fs::symlink(OsStr::from_bytes(&boot), &mark) {
                // The last mark took the directory along.
                Err(Errno::NOENT) => create_private(&dir)?,
                made => return made.map(|()| true).context(failed),
            }
        }
    }

    /// Waits until all layers that are marked now are on the disk, and takes their marks away.
    pub(super) fn flush_marked(&self) -> Result<()> {
        let boot = boot_id();
        let marks = self.marks()?.into_iter().filter(|mark| mark.boot == boot).collect::<Vec<_>>();
        flush(&self.layers_dir())?;
        self.remove_marks(&marks)
    }

    /// The layers that were not flushed when the machine went down.
    pub(super) fn doubtful(&self) -> Result<Vec<Mark>> {
        let mut marks = self.marks()?;
        if !marks.is_empty() {
            let boot = boot_id();
            marks.retain(|mark| mark.boot != boot);
        }
        Ok(marks)
    }

    /// Reads such layers and removes those whose content is gone. As root of the user's id map.
    pub(super) fn settle(&self, marks: &[Mark]) -> Result<()> {
        for mark in marks {
            let _lock = self.lock_layer(&mark.diff_id)?;
            let dir = self.layer_dir(&mark.diff_id);
            // Another process may have settled it, and the layer may be a new one.
            if readlink(&mark.path, Vec::new()).is_ok()
                && dir.exists()
                && pack::pack(&dir, &mark.diff_id, std::io::sink()).is_err()
            {
                remove::path(&dir)?;
            }
            self.remove_marks(std::slice::from_ref(mark))?;
        }
        Ok(())
    }

    fn marks(&self) -> Result<Vec<Mark>> {
        let dir = self.unflushed_dir();
        let failed = || format!("cannot read {}", dir.display());
        let entries = match std::fs::read_dir(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.context(failed)?,
        };
        let mut marks = Vec::new();
        for entry in entries {
            let name = entry.context(failed)?.file_name();
            let path = dir.join(&name);
            let hex = name.to_str().and_then(|name| name.split('.').next()).unwrap_or_default();
            // It may be gone by now, and what is no mark says nothing.
            if let (Ok(diff_id), Ok(boot)) = (format!("sha256:{hex}").parse(), readlink(&path, Vec::new())) {
                marks.push(Mark { path, diff_id, boot: Some(boot.into_bytes()) });
            }
        }
        Ok(marks)
    }

    /// And their directory with the last one: without it nothing has to be looked for.
    fn remove_marks(&self, marks: &[Mark]) -> Result<()> {
        for mark in marks {
            remove::path(&mark.path)?;
        }
        match rustix::fs::rmdir(self.unflushed_dir()) {
            Ok(()) | Err(Errno::NOTEMPTY | Errno::NOENT) => Ok(()),
            Err(e) => Err(e).context(|| format!("cannot remove {}", self.unflushed_dir().display())),
        }
    }

    fn unflushed_dir(&self) -> PathBuf {
        self.data.join("unflushed")
    }
}

/// Says that a layer was not on the disk yet.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    diff_id: DiffId,
    boot: Option<Vec<u8>>,
}

/// Waits until everything on the file system of `dir` is on the disk: one flush instead of one per file.
pub(super) fn flush(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| Ok(syncfs(dir)?)).context(|| format!("cannot write {} to the disk", dir.display()))
}

fn keeps_order(dir: &Path) -> bool {
    statfs(dir).is_ok_and(|found| {
        // 32 bits of it count; some are negative as the kernel's long.
        ORDERED.contains(&u64::from(found.f_type as u32))
    })
}

/// A name that the kernel has until it is started anew (random(4)); none without a whole /proc.
fn boot_id() -> Option<Vec<u8>> {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim_ascii().to_vec()).filter(|id| !id.is_empty())
}
