//! `load`: a docker or OCI archive → the store. Layers are unpacked in parallel, straight from the archive's file; what comes
//! from a pipe or is compressed is spooled into the store's file system first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;

use sha2::{Digest as _, Sha256};

use super::{LayerState, Progress, collect, is_kept_nameless, keep_nameless, name_image, skipped, verify};
use crate::config::policy::Policy;
use crate::error::{Context, Error, Result};
use crate::image::archive::program::{self, Decompressed};
use crate::image::archive::{self, Archived, ArchivedLayer, Index, Name};
use crate::image::digest::{DiffId, Digest};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::transport::{Kind, Local};
use crate::state::lock::Mode;
use crate::state::paths::Dirs;
use crate::storage::worker::{UnpackJob, UnpackWorker};
use crate::storage::{Limits, Partial, Source, Store};
use crate::userns::IdMaps;

const THREADS: usize = 4;
const CHUNK: usize = 256 << 10;

/// An image that came out of an archive.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Normalised; empty for an image without a name.
    pub names: Vec<String>,
    pub id: Digest,
    pub manifest: Digest,
    /// The reference without a name that keeps it was made for it now.
    pub is_newly_kept: bool,
}

/// Loads every image of the archive `input`, an open file or a pipe, if `policy` or policy.json lets them in; `path` is where
/// it was opened, if it has a place. Must be called while the process has one thread.
pub(crate) fn load(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    input: File,
    path: Option<&Path>,
    policy: Option<&Path>,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>> {
    let index = Index::read(seekable(&dirs.data, input)?)?;
    let images = archive::read(&index, &Platform::host())?;
    let kind = if index.contains("manifest.json") { Kind::DockerArchive } else { Kind::OciArchive };
    let policy = Policy::load(policy)?;
    match path {
        Some(path) => verify::local_image(policy.as_ref(), &Local::new(kind, path))?,
        None => verify::stream(policy.as_ref(), kind.prefix())?,
    }
    let named = images.into_iter().map(|image| Ok((names(&image)?, image))).collect::<Result<Vec<_>>>()?;
    bring(dirs, store, maps, named, progress)
}

/// Brings images into the store under these names.
pub(super) fn bring(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    named: Vec<(Vec<Reference>, Archived)>,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>> {
    // From here on nothing that these images need may be collected.
    let guard = store.gc_lock(Mode::Shared)?;
    let mut layers: BTreeMap<DiffId, &ArchivedLayer> = BTreeMap::new();
    let mut order = Vec::new();
    for layer in named.iter().flat_map(|(_, image)| &image.layers) {
        if layers.insert(layer.diff_id, layer).is_none() {
            order.push(layer.diff_id);
        }
    }
    let mut missing = Vec::new();
    for layer in order.iter().filter_map(|diff_id| layers.get(diff_id)) {
        if store.layer(&layer.diff_id).is_some() && !wants_compressed(store, layer) {
            progress.layer(&layer.diff_id, layer.content.len()).state(LayerState::Exists);
        } else {
            missing.push(*layer);
        }
    }
    if !missing.is_empty() {
        let worker = UnpackWorker::start(store, maps)?;
        let is_new = |diff_id: &DiffId| store.layer(diff_id).is_none();
        let layers: Vec<DiffId> = missing.iter().map(|layer| layer.diff_id).filter(is_new).collect();
        if let Err(error) = unpack_all(store, &worker, &missing, progress) {
            // Nothing of a bad archive is kept, unless it cannot be told from what is in use.
            drop((worker, guard));
            let _ = collect(dirs, store);
            return Err(error);
        }
        skipped::warn(store, &layers, maps, progress)?;
    }
    named.into_iter().map(|(names, image)| keep(store, &names, &image)).collect()
}

pub(super) fn names(image: &Archived) -> Result<Vec<Reference>> {
    let names = image.names.iter().map(|name| match name {
        Name::Docker(name) => Reference::parse(name),
        Name::Oci(name) => Reference::parse_local(name),
    });
    names.collect::<Result<_>>().context(|| "an image in the archive has a bad name")
}

/// Unpacks with a few threads; the first error counts.
fn unpack_all(store: &Store, worker: &UnpackWorker, layers: &[&ArchivedLayer], progress: &dyn Progress) -> Result<()> {
    let queue = Mutex::new(layers.iter());
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let next = || match (failure.lock(), queue.lock()) {
        (Ok(failure), Ok(mut queue)) if failure.is_none() => queue.next().copied(),
        _ => None,
    };
    std::thread::scope(|scope| {
        let start = |_| {
            scope.spawn(|| {
                while let Some(layer) = next() {
                    let line = progress.layer(&layer.digest.unwrap_or(layer.diff_id), layer.content.len());
                    line.state(LayerState::Downloading);
                    let outcome = unpack(store, worker, layer, &|bytes| line.position(bytes));
                    line.state(if outcome.is_ok() { LayerState::Done } else { LayerState::Failed });
                    if let (Err(error), Ok(mut failure)) = (outcome, failure.lock()) {
                        failure.get_or_insert(error);
                    }
                }
            })
        };
        let threads: Vec<_> = (0..THREADS.min(layers.len())).map(start).collect();
        // The scope's own wait ends before its threads do, and what follows may fork. They do not panic.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    });
    failure.into_inner().ok().flatten().map_or(Ok(()), Err)
}

fn unpack(store: &Store, worker: &UnpackWorker, layer: &ArchivedLayer, meter: &dyn Fn(u64)) -> Result<()> {
    let _lock = store.lock_layer(&layer.diff_id)?;
    let is_here = store.layer(&layer.diff_id).is_some();
    let mut kept = match layer.digest.filter(|_| wants_compressed(store, layer)) {
        Some(digest) => store.partial(&digest, layer.content.len())?,
        None => None,
    };
    let unpacked = match (is_here, &mut kept) {
        (true, None) => return Ok(()),
        (true, Some(kept)) => copy(layer, &mut std::io::sink(), meter, Some(kept)),
        (false, kept) => unpack_into(worker, layer, meter, kept.as_mut()),
    };
    match (unpacked, kept, layer.digest) {
        (Ok(()), Some(kept), Some(digest)) => store.put_compressed(&layer.diff_id, &digest, kept),
        (unpacked, kept, _) => {
            kept.into_iter().for_each(Partial::remove);
            unpacked
        }
    }
}

/// Whether the layer is to be kept as it is in the archive.
fn wants_compressed(store: &Store, layer: &ArchivedLayer) -> bool {
    layer.digest.is_some_and(|digest| store.wants_compressed(&layer.diff_id, &digest))
}

fn unpack_into(
    worker: &UnpackWorker,
    layer: &ArchivedLayer,
    meter: &dyn Fn(u64),
    kept: Option<&mut Partial>,
) -> Result<()> {
    let source =
        layer.digest.map(|digest| Source { digest, size: layer.content.len(), media_type: layer.media_type.clone() });
    let job = UnpackJob { expected: Some(layer.diff_id), source, limits: Limits::from_env()? };
    let (mut pipe, pending) = worker.unpack(job)?;
    let copied = copy(layer, &mut pipe, meter, kept);
    drop(pipe);
    let finished = pending.finish(copied.is_ok());
    let what = || format!("cannot unpack the layer {}", layer.diff_id);
    match (copied, finished) {
        (Ok(()), finished) => finished.map(drop).context(what),
        // The worker knows why it stopped reading.
        (Err(_), Err(error)) => Err(Error::wrap(what(), error)),
        (Err(error), Ok(_)) => Err(error),
    }
}

fn copy(
    layer: &ArchivedLayer,
    pipe: &mut impl Write,
    meter: &dyn Fn(u64),
    mut kept: Option<&mut Partial>,
) -> Result<()> {
    if let Some(kept) = &mut kept {
        kept.clear()?;
    }
    let mut content = layer.content.clone();
    // Without a digest of its own the DiffID, which the worker checks, covers every byte.
    let mut hash = layer.digest.map(|_| Sha256::new());
    let mut buffer = vec![0; CHUNK];
    let mut position = 0;
    loop {
        let read = content.read(&mut buffer).context(|| "cannot read the archive")?;
        if read == 0 {
            break;
        }
        if let Some(hash) = &mut hash {
            hash.update(&buffer[..read]);
        }
        pipe.write_all(&buffer[..read]).context(|| "cannot hand a layer to the unpacker")?;
        if let Some(kept) = &mut kept {
            kept.file.write_all(&buffer[..read]).context(|| "cannot keep a layer as it came")?;
        }
        position += read as u64;
        meter(position);
    }
    match (hash, layer.digest) {
        (Some(hash), Some(expected)) => {
            let found = Digest::from_bytes(hash.finalize().into());
            if found == expected {
                return Ok(());
            }
            Err(Error::new(format!("a layer in the archive has the wrong digest: {found} instead of {expected}")))
        }
        _ => Ok(()),
    }
}

/// The documents, then the names: what has a name is complete.
fn keep(store: &Store, names: &[Reference], image: &Archived) -> Result<Loaded> {
    let id = store.put_blob(&image.config_bytes)?;
    let manifest = match &image.manifest {
        Some(manifest) => store.put_blob(manifest)?,
        None => {
            let layers = image.layers.iter().map(|layer| {
                let size = store.layer(&layer.diff_id).map_or(Ok(0), |layer| layer.meta().map(|meta| meta.size));
                size.map(|size| (layer.diff_id, size))
            });
            let layers = layers.collect::<Result<Vec<_>>>()?;
            store.put_blob(&archive::docker_manifest(&image.config_bytes, &layers)?)?
        }
    };
    let is_newly_kept = names.is_empty() && !is_kept_nameless(store, &manifest)?;
    if names.is_empty() {
        keep_nameless(store, &manifest)?;
    }
    names.iter().try_for_each(|name| name_image(store, name, &manifest))?;
    Ok(Loaded { names: names.iter().map(Reference::store_name).collect(), id, manifest, is_newly_kept })
}

/// The archive as an uncompressed regular file.
pub(super) fn seekable(scratch: &Path, mut input: File) -> Result<File> {
    let what = || "cannot read the archive";
    let kind = input.metadata().context(what)?.file_type();
    if kind.is_dir() {
        return Err(Error::new("the archive is a directory").hint("name it with --input DIR"));
    }
    let mut head = [0; program::HEAD];
    if kind.is_file() && !kind.is_fifo() {
        let read = input.read_at(&mut head, 0).context(what)?;
        if compression(&head[..read]).is_none() {
            return Ok(input);
        }
        return spool(scratch, &head[..0], &mut input, compression(&head[..read]));
    }
    let mut filled = 0;
    while filled < head.len() {
        match input.read(&mut head[filled..]).context(what)? {
            0 => break,
            read => filled += read,
        }
    }
    spool(scratch, &head[..filled], &mut input, compression(&head[..filled]))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zstd,
    /// By a program of that name.
    Program(&'static str),
}

fn compression(head: &[u8]) -> Option<Compression> {
    match head {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
        _ => program::for_head(head).map(Compression::Program),
    }
}

fn spool(scratch: &Path, head: &[u8], rest: &mut File, compression: Option<Compression>) -> Result<File> {
    if let Some(Compression::Program(name)) = compression {
        let mut compressed = spool(scratch, head, rest, None)?;
        compressed.rewind().context(|| "cannot read the archive")?;
        return spool_from(scratch, Decompressed::by(name, compressed)?);
    }
    let input = head.chain(rest);
    match compression {
        None | Some(Compression::Program(_)) => spool_from(scratch, input),
        Some(Compression::Gzip) => spool_from(scratch, flate2::read::MultiGzDecoder::new(input)),
        Some(Compression::Zstd) => {
            spool_from(scratch, zstd::Decoder::new(input).context(|| "cannot decompress the archive")?)
        }
    }
}

fn spool_from(scratch: &Path, mut input: impl Read) -> Result<File> {
    let mut file = unnamed_file(scratch)?;
    // An archive may hold many layers; each of them is limited again.
    let limit = Limits::from_env()?.bytes;
    let mut buffer = vec![0; CHUNK];
    let mut total = 0u64;
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::wrap("cannot read the archive", e)),
        };
        total += read as u64;
        if total > limit {
            return Err(Error::new(format!("the archive is larger than {limit} bytes")));
        }
        file.write_all(&buffer[..read]).context(|| "cannot keep a copy of the archive")?;
    }
}

/// A file that goes away with its last descriptor.
pub(super) fn unnamed_file(dir: &Path) -> Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::TMPFILE.bits()).unwrap_or_default();
    let mut options = File::options();
    options.read(true).write(true).mode(0o600);
    if let Ok(file) = options.clone().custom_flags(flags).open(dir) {
        return Ok(file);
    }
    // Network file systems have no O_TMPFILE.
    let path = dir.join(format!("{}spool-{}", crate::state::file::TEMPORARY_PREFIX, std::process::id()));
    let what = || format!("cannot create a temporary file in {}", dir.display());
    let file = options.create_new(true).open(&path).context(what)?;
    std::fs::remove_file(&path).context(what)?;
    Ok(file)
}
