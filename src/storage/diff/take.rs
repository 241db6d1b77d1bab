//! An upper directory becomes a layer's `diff/`: no file is copied, each is read once for the digest of the tar that
//! the layer would be.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, fchmod, fchown, fremovexattr, fstat, futimens, openat,
    unlinkat, utimensat,
};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::archive::{Archive, Sink, attribute_names, of_this_host};
use super::header::padding;
use super::remembered::Remembered;
use super::report::{At, Report};
use super::{DiffJob, many_descriptors, open_path, upper};
use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::storage::layer::{self, LayerMeta, Skipped};
use crate::storage::unpack::ASIDE;
use crate::storage::unpack::record::{self, Content, Recorder};
use crate::storage::{RootfsPlan, copy, whiteout};

const BUFFER: usize = 256 * 1024;

/// Makes the layer of `job` in the empty directory `dir`, which becomes a whole layer but for its name. `None` when the
/// upper directory cannot be taken: it is as it was.
pub(in crate::storage) fn take(job: &DiffJob, dir: &Path) -> Result<Option<LayerMeta>> {
    // Files of other ids than the store's are not the store's.
    if job.whole || !job.ids.same() {
        return Ok(None);
    }
    let RootfsPlan::Overlay { lower, upper, .. } = &job.rootfs else { return Ok(None) };
    let diff = dir.join("diff");
    match rustix::fs::rename(upper, &diff) {
        Err(Errno::XDEV) => return Ok(None),
        renamed => renamed.context(|| format!("cannot move {}", upper.display()))?,
    }
    many_descriptors();
    let aside = dir.join(ASIDE);
    std::fs::DirBuilder::new().mode(0o755).create(&aside).context(|| format!("cannot create {}", aside.display()))?;
    let entries = dir.join("entries.zst");
    let file = record::create(&entries)?;
    let sink = Take {
        recorder: Recorder::create(file)?,
        digest: Sha256::new(),
        size: 0,
        root: false,
        buffer: vec![0; BUFFER],
    };
    let remembered = Remembered::of(lower, Some(&diff))?;
    let mut archive = Archive::new(sink, job.timestamp, &job.ids, remembered);
    upper::walk(&diff, lower, upper::Marks::Kernel, &job.ids, &mut Report::for_layer(&mut archive, &job.skip))?;
    let (count, unpacked_size) = (archive.entries, archive.unpacked);
    let skipped = Skipped { owners: archive.restored.get(), ..Skipped::default() };
    let take = archive.finish()?;
    take.root(open_path(&diff)?)?;
    take.recorder.finish()?;
    let meta = LayerMeta {
        diff_id: Digest::from_bytes(take.digest.finalize().into()),
        size: take.size,
        entries: count,
        unpacked_size,
        sources: Vec::new(),
        skipped,
    };
    layer::write_meta(dir, &meta)?;
    Ok(Some(meta))
}

struct Take {
    recorder: Recorder,
    digest: Sha256,
    /// Of the tar so far.
    size: u64,
    /// Whether the tar says anything about the root.
    root: bool,
    buffer: Vec<u8>,
}

impl Take {
    /// As if the layer had been unpacked.
    fn root(&self, diff: OwnedFd) -> Result<()> {
        let plain = || {
            strip(diff.as_fd())?;
            if !self.root {
                fchown(&diff, Some(Uid::ROOT), Some(Gid::ROOT))?;
                fchmod(&diff, Mode::from_raw_mode(0o755))?;
            }
            Ok::<_, Errno>(())
        };
        plain().context(|| "cannot prepare the layer's directory")
    }
}

impl Sink for Take {
    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        self.recorder.raw(bytes)
    }

    fn content(&mut self, path: &[u8], mut file: File, size: u64) -> Result<()> {
        let failed = || format!("cannot read /{}", path.escape_ascii());
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
            let length = file.read(&mut self.buffer[..wanted]).context(failed)?;
            if length == 0 {
                return Err(Error::wrap(failed(), Error::new("somebody is changing it")));
            }
            self.digest.update(&self.buffer[..length]);
            left -= length as u64;
        }
        let zeros = padding(size);
        self.digest.update(zeros);
        self.size += size + zeros.len() as u64;
        self.recorder.content(&Content { path: path.to_vec(), size, padded: true, segments: None })
    }

    fn told(&mut self, path: &[u8], at: At<'_>, time: Option<i64>) -> Result<()> {
        self.root |= path.is_empty();
        let times = time.map(|seconds| {
            let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
            Timestamps { last_access: time, last_modification: time }
        });
        settle(at, times).context(|| format!("cannot set the attributes of /{}", path.escape_ascii()))
    }

    /// Without leaving a trace in the time of its directory.
    fn left_out(&mut self, parent: BorrowedFd<'_>, name: &[u8], directory: bool) -> Result<()> {
        let removed = || {
            let stat = fstat(parent)?;
            match unlinkat(parent, name, if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() }) {
                // Something in it is as it was below: so is the directory.
                Err(Errno::NOTEMPTY) if directory => return Ok(()),
                removed => removed?,
            }
            futimens(parent, &copy::times(&stat))
        };
        removed().context(|| format!("cannot remove {} from the layer", name.escape_ascii()))
    }
}

fn settle(at: At<'_>, times: Option<Timestamps>) -> Result<(), Errno> {
    match at {
        At::Directory(directory) => {
            strip(directory)?;
            times.map_or(Ok(()), |times| futimens(directory, &times))
        }
        At::Other { parent, name } => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            // Links and devices have no such attributes.
            match openat(parent, name, flags, Mode::empty()) {
                Ok(file) => strip(file.as_fd())?,
                Err(Errno::LOOP | Errno::NXIO | Errno::NODEV | Errno::ACCESS) => {}
                Err(e) => return Err(e),
            }
            times.map_or(Ok(()), |times| utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW))
        }
    }
}

/// Takes off what overlayfs notes in an upper directory and would misunderstand in a layer.
fn strip(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    for name in attribute_names(fd)? {
        if of_this_host(&name) && name != whiteout::OPAQUE_ATTRIBUTE.as_bytes() {
            fremovexattr(fd, &name[..])?;
        }
    }
    Ok(())
}
