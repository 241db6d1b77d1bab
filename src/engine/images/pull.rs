//! `pull`: a name → the registry's manifest → the layers that are missing, in parallel, each in one pass.
//!
//! Two phases, for the process that unpacks must be forked while there is one thread: first manifest and config are fetched; then, if
//! layers are missing, the worker is started and their bytes go from the sockets through its pipes. A layer is locked while it is
//! brought in, so another process waits for it instead of transferring it again. The image gets its name last: a pull that ends
//! early leaves whole layers, and the beginnings of large ones, which the next one finds.

use std::collections::BTreeSet;
use std::path::PathBuf;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::net::unix::pipe;

use super::{Image, LayerProgress, LayerState, Progress, collect, name_image, pull_local, resolve, skipped, verify};
use crate::config::policy::Policy;
use crate::config::registries::Registries;
use crate::error::{Context, Error, Kind, Result};
use crate::image::builtin;
use crate::image::config::ImageConfig;
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::{Descriptor, Document, MAX_CONFIG, Manifest};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::transport::Transport;
use crate::registry::{self, Fetched, Registry, TransferError};
use crate::state::lock::Mode;
use crate::state::paths::Dirs;
use crate::storage::worker::{UnpackJob, UnpackWorker};
use crate::storage::{Limits, Lock, Partial, Source, Store};
use crate::userns::IdMaps;

/// So many layers are transferred at once.
const PARALLEL_LAYERS: usize = 6;

/// `--pull`: when to ask the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PullPolicy {
    Always,
    #[default]
    Missing,
    Never,
    /// Ask, and do without an answer when the image is there.
    Newer,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct PullOptions {
    pub platform: Option<Platform>,
    pub policy: PullPolicy,
    pub registry: registry::Options,
    /// `--signature-policy`: instead of policy.json.
    pub signature_policy: Option<PathBuf>,
}

/// An image whose layers may still be missing.
struct Found {
    registry: Registry,
    manifest: Fetched,
    parsed: Box<Manifest>,
    /// The index it was chosen from.
    index: Option<Fetched>,
    config: ImageConfig,
    config_bytes: Vec<u8>,
}

/// A layer to be brought.
struct Job {
    descriptor: Descriptor,
    diff_id: DiffId,
    progress: Box<dyn LayerProgress>,
}

/// A transfer that failed.
struct Failed {
    error: Error,
    /// What the registry delivers is not what it says: nothing of the image is worth keeping. After a broken connection the
    /// layers that are complete are.
    is_hostile: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, is_hostile: false }
    }
}

/// Where images go.
#[derive(Clone, Copy)]
struct Place<'a> {
    dirs: &'a Dirs,
    store: &'a Store,
    maps: &'a IdMaps,
}

/// Brings the image that `name` means into the store. Must be called while the process has one thread.
pub(crate) fn pull(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    name: &str,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Image> {
    let place = Place { dirs, store, maps };
    if name == builtin::NAME {
        store.ensure_builtin(maps)?;
        return resolve(store, name);
    }
    let name = match Transport::parse(name)? {
        Some(Transport::Docker(name)) => &name.clone(),
        Some(Transport::Local(local)) => {
            let wanted = options.platform.clone().unwrap_or_else(Platform::host);
            let loaded = pull_local(dirs, store, maps, &local, &wanted, options.signature_policy.as_deref(), progress)?;
            let first = loaded.first().ok_or_else(|| Error::new(format!("there is no image in {local}")))?;
            return resolve(store, &first.id.hex());
        }
        None => name,
    };
    let present = match options.policy {
        PullPolicy::Always => None,
        _ => present(store, name, options.platform.as_ref()),
    };
    match (options.policy, present) {
        (PullPolicy::Missing | PullPolicy::Never, Some(image)) => Ok(image),
        (PullPolicy::Never, None) => Err(match resolve(store, name) {
            // That several ids begin so says nothing about a name.
            Err(damaged) if !matches!(damaged.kind(), Kind::NoSuchObject | Kind::Conflict) => damaged,
            _ => Error::new(format!("{name}: image not known"))
                .hint("it is not pulled because of --pull=never")
                .with_kind(Kind::NoSuchObject),
        }),
        (PullPolicy::Newer, Some(image)) => match fetch(place, name, options, progress) {
            Ok(newer) => Ok(newer),
            Err(error) => {
                progress.warning(&format!("using the {name} that is here: {error}"));
                Ok(image)
            }
        },
        _ => fetch(place, name, options, progress),
    }
}

/// The image in the store, unless it is incomplete or for another platform than the one asked for.
fn present(store: &Store, name: &str, platform: Option<&Platform>) -> Option<Image> {
    match resolve(store, name) {
        Ok(image) => {
            let fits = platform.is_none_or(|wanted| wanted.is_met_by(&image.config.platform()));
            let whole = image.layers.iter().all(|layer| store.layer(layer).is_some());
            (fits && whole).then_some(image)
        }
        // Not there, or damaged: what is fetched replaces it.
        Err(_) => None,
    }
}

fn fetch(place: Place<'_>, name: &str, options: &PullOptions, progress: &dyn Progress) -> Result<Image> {
    let config = Registries::load()?;
    config.remarks.iter().for_each(|remark| progress.warning(remark));
    let candidates = registry::candidates(&config, name)?;
    let mut failures: Vec<Error> = Vec::new();
    for reference in &candidates {
        progress.message(&format!("Trying to pull {reference}..."));
        match fetch_reference(place, &config, reference, options, progress) {
            Ok(image) => return Ok(image),
            Err(error) => failures.push(Error::wrap(format!("cannot pull {reference}"), error)),
        }
    }
    let last = failures.pop().unwrap_or_else(|| Error::new(format!("no registry is configured for {name}")));
    Err(failures.iter().fold(last, |error, earlier| error.hint(format!("before that, {earlier}"))))
}

fn fetch_reference(
    place: Place<'_>,
    config: &Registries,
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Image> {
    let Place { dirs, store, maps } = place;
    let wanted = options.platform.clone().unwrap_or_else(Platform::host);
    let policy = Policy::load(options.signature_policy.as_deref())?;
    let sources = registry::sources(config, reference)?;
    let registries =
        sources.iter().map(|source| Registry::new(source, &options.registry)).collect::<Result<Vec<_>>>()?;
    // From here on nothing that this image needs may be collected.
    let guard = store.gc_lock(Mode::Shared)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start the network client")?;
    let found = runtime.block_on(find(store, registries, &wanted, progress))?;
    let manifests: Vec<Digest> =
        [&found.manifest].into_iter().chain(&found.index).map(|fetched| fetched.digest).collect();
    runtime.block_on(verify::registry_image(policy.as_ref(), reference, &found.registry, &manifests))?;
    if wanted.rank(&found.config.platform()).is_none() {
        progress.warning(&format!("the image is for {}, not for {wanted}", found.config.platform()));
    }
    let jobs = missing(store, &found, progress)?;
    if !jobs.is_empty() {
        let layers: Vec<DiffId> =
            jobs.iter().map(|job| job.diff_id).filter(|diff_id| store.layer(diff_id).is_none()).collect();
        let worker = UnpackWorker::start(store, maps)?;
        if let Err(failed) = runtime.block_on(transfer(store, &worker, &found.registry, jobs)) {
            // The threads of the runtime end with it; collecting forks.
            drop((runtime, worker, guard));
            if failed.is_hostile {
                // What cannot be freed now is found again; why the image could not be had is what counts.
                let _ = collect(dirs, store);
            }
            return Err(failed.error);
        }
        skipped::warn(store, &layers, maps, progress)?;
    }
    store_image(store, reference, &found)?;
    Ok(Image { name: Some(reference.store_name()), ..Image::read(store, found.manifest.digest)? })
}

/// Manifest and config from the first source that has them.
async fn find(store: &Store, registries: Vec<Registry>, wanted: &Platform, progress: &dyn Progress) -> Result<Found> {
    let mut failure = None;
    for registry in registries {
        if let Some(earlier) = &failure {
            progress.warning(&format!("trying the next source: {earlier}"));
        }
        match describe(store, registry, wanted).await {
            Ok(found) => return Ok(found),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| Error::new("there is nowhere to pull from")))
}

async fn describe(store: &Store, registry: Registry, wanted: &Platform) -> Result<Found> {
    let first = registry.manifest().await?;
    let (manifest, parsed, index) = match Document::parse(&first.content, first.content_type.as_deref())? {
        Document::Image(parsed) => (first, parsed, None),
        Document::Index(entries) => {
            let entry = entries.select(wanted)?;
            let manifest = registry.manifest_of(entry).await?;
            match Document::parse(&manifest.content, manifest.content_type.as_deref())? {
                Document::Image(parsed) => (manifest, parsed, Some(first)),
                Document::Index(_) => return Err(Error::new("the image index points to another index")),
            }
        }
    };
    let config_bytes = match store.read_blob(&parsed.config.digest) {
        Ok(known) => known,
        // Not there, or damaged.
        Err(_) => registry.small_blob(&parsed.config, MAX_CONFIG).await?,
    };
    let config = ImageConfig::parse(&config_bytes)
        .map_err(|e| if parsed.config.media_type.contains("image") { e } else { not_an_image(&parsed, e) })?;
    if config.rootfs.diff_ids.len() != parsed.layers.len() {
        return Err(Error::new(format!(
            "the image has {} layers, its config names {}",
            parsed.layers.len(),
            config.rootfs.diff_ids.len()
        )));
    }
    Ok(Found { registry, manifest, parsed, index, config, config_bytes })
}

fn not_an_image(manifest: &Manifest, error: Error) -> Error {
    Error::wrap(format!("this is not an image but {}", manifest.config.media_type), error)
}

/// The layers that are not in the store, each once.
fn missing(store: &Store, found: &Found, progress: &dyn Progress) -> Result<Vec<Job>> {
    let mut seen = BTreeSet::new();
    let mut jobs = Vec::new();
    for (descriptor, diff_id) in found.parsed.layers.iter().zip(&found.config.rootfs.diff_ids) {
        if !seen.insert(*diff_id) {
            continue;
        }
        let line = progress.layer(&descriptor.digest, descriptor.size);
        if store.layer(diff_id).is_some() && !store.wants_compressed(diff_id, &descriptor.digest) {
            line.state(LayerState::Exists);
            continue;
        }
        line.state(LayerState::Waiting);
        jobs.push(Job { descriptor: descriptor.clone(), diff_id: *diff_id, progress: line });
    }
    Ok(jobs)
}

async fn transfer(store: &Store, worker: &UnpackWorker, registry: &Registry, jobs: Vec<Job>) -> Result<(), Failed> {
    // A layer's lock is waited for only by a running job, so whoever holds one can always finish.
    stream::iter(jobs)
        .map(|job| async move {
            let outcome = layer(store, worker, registry, &job).await;
            job.progress.state(match &outcome {
                Ok(state) => *state,
                Err(_) => LayerState::Failed,
            });
            outcome.map(drop)
        })
        .buffer_unordered(PARALLEL_LAYERS)
        .try_collect::<()>()
        .await
}

async fn layer(store: &Store, worker: &UnpackWorker, registry: &Registry, job: &Job) -> Result<LayerState, Failed> {
    let _lock = lock(store, &job.diff_id).await?;
    let is_here = store.layer(&job.diff_id).is_some();
    let is_kept = store.wants_compressed(&job.diff_id, &job.descriptor.digest);
    if is_here && !is_kept {
        return Ok(LayerState::Exists);
    }
    let mut partial = store.partial(&job.descriptor.digest, job.descriptor.size)?;
    let resumed = partial.as_ref().is_some_and(|partial| partial.file.metadata().is_ok_and(|meta| meta.len() > 0));
    let attempt = async |partial: &mut Option<Partial>| match is_here {
        true => copy(registry, job, partial).await,
        false => bring(worker, registry, job, partial, is_kept).await,
    };
    let state = match attempt(&mut partial).await {
        // What was kept may be what is wrong: once more from the beginning.
        Err(Failed { is_hostile: true, .. }) if resumed => {
            partial = store.partial(&job.descriptor.digest, job.descriptor.size)?;
            attempt(&mut partial).await?
        }
        brought => brought?,
    };
    if let Some(partial) = partial.filter(|_| is_kept) {
        // What could not be written of it is missing at its end.
        match partial.file.metadata().is_ok_and(|meta| meta.len() == job.descriptor.size) {
            true => store.put_compressed(&job.diff_id, &job.descriptor.digest, partial)?,
            false => {
                partial.remove();
                return Err(Error::new(format!(
                    "cannot keep {} as it came: it was not written",
                    job.descriptor.digest
                ))
                .into());
            }
        }
    }
    Ok(state)
}

/// A layer that is here already, to be kept as it comes.
async fn copy(registry: &Registry, job: &Job, partial: &mut Option<Partial>) -> Result<LayerState, Failed> {
    job.progress.state(LayerState::Downloading);
    let meter = |received: u64| job.progress.position(received);
    let kept = partial.as_mut().map(|partial| &mut partial.file);
    match registry.copy_blob(&job.descriptor, &mut tokio::io::sink(), &meter, kept).await {
        Ok(()) => Ok(LayerState::Done),
        Err(TransferError::Source(error)) => Err(error.into()),
        Err(TransferError::Sink) => Err(Error::new("the transfer ended early").into()),
        Err(TransferError::Content(error)) => {
            if let Some(partial) = partial.take() {
                partial.remove();
            }
            Err(Failed { error, is_hostile: true })
        }
    }
}

/// One attempt. `partial` is gone afterwards, unless the connection broke or all went well and it is to be kept.
async fn bring(
    worker: &UnpackWorker,
    registry: &Registry,
    job: &Job,
    partial: &mut Option<Partial>,
    is_kept: bool,
) -> Result<LayerState, Failed> {
    job.progress.state(LayerState::Downloading);
    let (pipe, pending) = worker.unpack(unpack_job(&job.descriptor, job.diff_id)?)?;
    let mut out = pipe::Sender::from_owned_fd(pipe.into()).context(|| "cannot use the unpacker's pipe")?;
    let meter = |received: u64| job.progress.position(received);
    let kept = partial.as_mut().map(|partial| &mut partial.file);
    let outcome = registry.copy_blob(&job.descriptor, &mut out, &meter, kept).await;
    let stays = match outcome {
        Ok(()) => is_kept,
        Err(TransferError::Source(_)) => true,
        Err(_) => false,
    };
    if !stays && let Some(partial) = partial.take() {
        // Before the unpacker flushes the file system.
        partial.remove();
    }
    // The end of the pipe is the end of the layer.
    drop(out);
    let broken_pipe = match outcome {
        Ok(()) => false,
        Err(TransferError::Sink) => true,
        // Dropped, the job throws away what was unpacked.
        Err(TransferError::Source(error)) => return Err(error.into()),
        Err(TransferError::Content(error)) => return Err(Failed { error, is_hostile: true }),
    };
    job.progress.state(LayerState::Unpacking);
    let finished = tokio::task::spawn_blocking(move || pending.finish(!broken_pipe)).await.context(|| LOST_THREAD)?;
    match finished {
        Ok(_) if broken_pipe => Err(Error::new("the unpacking process stopped reading").into()),
        Ok(_) => Ok(LayerState::Done),
        // The unpacker knows why it stopped reading.
        Err(error) => {
            if let Some(partial) = partial.take() {
                partial.remove();
            }
            let error = Error::wrap(format!("cannot unpack {}", job.descriptor.digest), error);
            Err(Failed { error, is_hostile: true })
        }
    }
}

const LOST_THREAD: &str = "a thread of the transfer ended early";

/// Waits for the layer's lock; the wait must not hold up the other transfers.
async fn lock(store: &Store, diff_id: &DiffId) -> Result<Lock> {
    let (store, diff_id) = (store.clone(), *diff_id);
    tokio::task::spawn_blocking(move || store.lock_layer(&diff_id)).await.context(|| LOST_THREAD)?
}

fn unpack_job(descriptor: &Descriptor, diff_id: DiffId) -> Result<UnpackJob> {
    Ok(UnpackJob { expected: Some(diff_id), source: Some(source(descriptor)), limits: Limits::from_env()? })
}

fn source(descriptor: &Descriptor) -> Source {
    Source { digest: descriptor.digest, size: descriptor.size, media_type: descriptor.media_type.clone() }
}

/// The documents, then the names: what has a name is complete.
fn store_image(store: &Store, reference: &Reference, found: &Found) -> Result<()> {
    store.put_blob(&found.config_bytes)?;
    store.put_blob(&found.manifest.content)?;
    for (descriptor, diff_id) in found.parsed.layers.iter().zip(&found.config.rootfs.diff_ids) {
        // A push keeps such layers as they are; those made here it compresses.
        if descriptor.digest == *diff_id {
            store.remember_form(diff_id, &source(descriptor), None, &reference.repository())?;
        }
    }
    if let Some(index) = &found.index {
        store.put_blob(&index.content)?;
        store.set_ref(&reference.pinned(&index.digest), &found.manifest.digest)?;
    }
    name_image(store, reference, &found.manifest.digest)
}
