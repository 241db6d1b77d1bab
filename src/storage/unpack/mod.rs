//! A layer's tar → files below `diff/` and what is needed to rebuild the tar.
//!
//! ```text
//! pipe ─▶ decompress ─┬─▶ sha256          the diff ID
//!          (thread)   └─▶ entries ─▶ apply: files; record: entries.zst
//! ```
//! Three threads and two bounded queues per layer. Runs in a process that is root of the user's id map (`worker`), or
//! as the user where there is only one id.

mod apply;
mod attributes;
mod chunk;
mod decompress;
pub(super) mod entry;
pub(super) mod headers;
pub(super) mod pack;
pub(super) mod pax;
pub(super) mod record;
pub(super) mod sparse;
pub(super) mod tape;
pub(super) mod tree;

use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use self::apply::{Applied, Apply};
use self::chunk::{Blocks, Chunk, QUEUE};
use self::record::{Recorded, Recorder};
use super::layer::{self, LayerMeta};
use super::limits::Limits;
use crate::error::{Context, Error, Result};
use crate::image::digest::{DiffId, Digest};
use crate::userns::IdMaps;

/// Content that a later entry of the same layer replaced.
pub(super) const ASIDE: &str = "aside";

/// Unpacks the layer that `input` holds into the empty directory `dir`, which becomes a whole layer but for its name.
/// The process's umask must be 0.
pub(super) fn unpack(
    input: impl Read + Send,
    dir: &Path,
    maps: &IdMaps,
    limits: &Limits,
    expected: Option<&DiffId>,
) -> Result<LayerMeta> {
    let apply = prepare(dir, maps)?;
    let (to_writer, writer) = sync_channel(QUEUE);
    let (to_digest, digest) = sync_channel(QUEUE);
    let (applied, (diff_id, size)) = std::thread::scope(|scope| {
        scope.spawn(move || decompress::run(input, limits, to_digest, &to_writer));
        let digest = scope.spawn(move || hash(&digest));
        let applied = write(apply, Blocks::new(writer), limits);
        (applied, digest.join().unwrap_or((Digest::from_bytes([0; 32]), 0)))
    });
    let Applied { entries, unpacked, skipped } = applied?;
    if let Some(expected) = expected
        && *expected != diff_id
    {
        return Err(Error::new(format!("the layer's content is {diff_id}, but the image promised {expected}")));
    }
    let meta = LayerMeta { diff_id, size, entries, unpacked_size: unpacked, sources: Vec::new(), skipped };
    layer::write_meta(dir, &meta)?;
    Ok(meta)
}

fn prepare(dir: &Path, maps: &IdMaps) -> Result<Apply> {
    let open = |name: &str| {
        let path = dir.join(name);
        std::fs::DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .map_err(|e| rustix::io::Errno::from_io_error(&e).unwrap_or(rustix::io::Errno::IO))
            .and_then(|()| rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()))
            .context(|| format!("cannot create {}", path.display()))
    };
    let path = dir.join("entries.zst");
    let file = record::create(&path)?;
    Apply::new(open("diff")?, open(ASIDE)?, Recorder::create(file)?, maps.clone())
}

/// Takes the blocks along, so that the decompressor stops when writing fails.
fn write(mut apply: Apply, mut blocks: Blocks, limits: &Limits) -> Result<Applied> {
    while let Some(entry) = entry::next(&mut Recorded { tape: &mut blocks, record: apply.record() })? {
        apply.record().count_entry(limits)?;
        apply.entry(&entry, &mut blocks)?;
    }
    apply.finish(&mut blocks)
}

fn hash(chunks: &Receiver<Arc<Chunk>>) -> (DiffId, u64) {
    let mut sha = Sha256::new();
    let mut size = 0;
    for chunk in chunks {
        sha.update(&chunk.bytes);
        size += chunk.bytes.len() as u64;
    }
    (Digest::from_bytes(sha.finalize().into()), size)
}
