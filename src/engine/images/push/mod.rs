//! `push`: an image in the store → a registry.
//!
//! Bytes are sent only when there is no other way. For each layer, in this order: the repository has the form that the manifest
//! names, or one that was pushed before; another repository of the registry has one and lends it (mount); it was kept as it came;
//! the registry that the image came from still has what the manifest names; the layer's tar is rebuilt and compressed. When every layer ends up as the manifest says, the manifest goes out byte for byte; otherwise a new
//! one is written around the same config.
//!
//! Two phases, as in `pull`: the process that rebuilds layers must be forked while there is one thread.

pub(super) mod document;
mod forms;
mod kept;
mod layer;
mod local;
mod origin;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use self::forms::Forms;
use self::layer::{Outgoing, Wanted};
pub(crate) use self::local::{Part, push_list_local, push_local};
use self::origin::{CopyError, Origins};
use super::{Image, LayerProgress, LayerState, Progress, read_manifest};
use crate::config::registries::Registries;
use crate::error::{Context, Error, Result};
use crate::image::compress::Form;
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::Descriptor;
use crate::image::reference::Reference;
use crate::registry::{self, Registry};
use crate::storage::worker::UnpackWorker;
use crate::storage::{Source, Store};
use crate::userns::IdMaps;

/// Each of them compresses on all cores; the second keeps the line busy while one begins or ends.
const PARALLEL_LAYERS: usize = 2;
const PARALLEL_QUESTIONS: usize = 8;
/// Repositories to ask for one layer before it is sent.
const MOST_MOUNTS: usize = 4;

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ManifestFormat {
    Oci,
    Docker,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct PushOptions {
    /// `--compression-format`, with `--compression-level`
    pub form: Option<Form>,
    /// Whether the level was said.
    pub exact_level: bool,
    /// `--force-compression`; unset, a format that was asked for is insisted on.
    pub force_compression: Option<bool>,
    pub format: Option<ManifestFormat>,
    pub registry: registry::Options,
}

/// Of a layer that was kept as it came and is not that any more.
const REPAIR: &str = "rpod system check --repair removes it";

/// What is to happen to one layer.
struct Layer {
    diff_id: DiffId,
    /// As the manifest has it.
    descriptor: Descriptor,
    wanted: Wanted,
    /// Bytes of its tar.
    size: u64,
    /// Repositories of other registries that have what `descriptor` says, where only that keeps the digest.
    origins: Vec<String>,
    line: Box<dyn LayerProgress>,
}

/// The layer as the registry has it now.
struct Arrived {
    descriptor: Descriptor,
    made_as: Option<String>,
}

/// Pushes `image` as `name`; answers the digest of the manifest that the registry has. Must be called while the process has
/// one thread.
pub(crate) fn push(
    store: &Store,
    maps: &IdMaps,
    image: &Image,
    name: &Reference,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Digest> {
    let Some(tag) = name.tag().filter(|_| name.digest().is_none()) else {
        return Err(Error::new(format!("{name}: an image is pushed to a tag, its digest follows from its content")));
    };
    push_as(store, maps, image, name, tag, options, progress).context(|| format!("cannot push {name}"))
}

/// The same with a manifest that only its digest will name: a part of an index.
pub(crate) fn push_part(
    store: &Store,
    maps: &IdMaps,
    image: &Image,
    name: &Reference,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Digest> {
    push_as(store, maps, image, name, "", options, progress)
}

fn push_as(
    store: &Store,
    maps: &IdMaps,
    image: &Image,
    name: &Reference,
    tag: &str,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Digest> {
    let (manifest, config) = read_manifest(store, &image.manifest)?;
    let raw = store.read_blob(&image.manifest)?;
    let forms = Forms::of(store, &image.layers)?;
    let (format, wanted) = layer::wanted(&forms, &manifest, &image.layers, options)?;
    let config_files = Registries::load()?;
    config_files.remarks.iter().for_each(|remark| progress.warning(remark));
    let target = registry::push_target(&config_files, name)?;
    let place = target.reference.repository();
    let lenders = forms.lenders(target.reference.host());
    let repositories: BTreeSet<&String> = lenders.values().flatten().collect();
    let repositories: Vec<String> = repositories.into_iter().cloned().collect();
    let registry = Registry::for_push(&target, &options.registry, &repositories)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start the network client")?;
    let layers: Vec<Layer> = manifest
        .layers
        .iter()
        .zip(&image.layers)
        .zip(wanted)
        .map(|((descriptor, diff_id), wanted)| {
            let size = store.layer(diff_id).and_then(|layer| layer.meta().ok()).map_or(0, |meta| meta.size);
            let line = progress.layer(&descriptor.digest, size);
            let origins = match origin::is_worth_it(&wanted, descriptor) {
                true => forms.origins(diff_id, &descriptor.digest, target.reference.host()),
                false => Vec::new(),
            };
            Layer { diff_id: *diff_id, descriptor: descriptor.clone(), wanted, size, origins, line }
        })
        .collect();
    let found = runtime.block_on(look(&registry, &layers, &lenders))?;
    let mut arrived: BTreeMap<Digest, Arrived> = BTreeMap::new();
    let mut missing = Vec::new();
    for (layer, found) in layers.iter().zip(found) {
        match found {
            Some(found) => {
                arrived.insert(layer.descriptor.digest, found);
            }
            // The same layer may be there twice.
            None if missing.iter().any(|other: &&Layer| other.descriptor.digest == layer.descriptor.digest) => {}
            None => missing.push(layer),
        }
    }
    if !missing.is_empty() {
        if let Some(gone) = missing.iter().find(|layer| store.layer(&layer.diff_id).is_none()) {
            return Err(Error::new(format!("the layer {} is not in the store", gone.diff_id))
                .hint("pull or load the image again"));
        }
        let sending = Sending {
            store,
            registry: &registry,
            origins: Origins::of(&config_files, &missing, options),
            worker: UnpackWorker::start(store, maps)?,
            is_docker: format == ManifestFormat::Docker,
            progress,
        };
        arrived.extend(runtime.block_on(sending.all(missing))?);
    }
    let finals = finals(&layers, &arrived)?;
    let (media_type, content) = document::manifest(&raw, &manifest, &finals, format)?;
    progress.message(&format!("Copying config {}", manifest.config.digest));
    let digest = Digest::of(&content);
    runtime.block_on(async {
        if !registry.has_blob(&manifest.config.digest).await? {
            registry.put_blob(&config).await?;
        }
        progress.message("Writing manifest to image destination");
        let by_digest = digest.to_string();
        registry.put_manifest(if tag.is_empty() { &by_digest } else { tag }, &media_type, &content).await
    })?;
    for layer in &layers {
        if let Some(Arrived { descriptor, made_as }) = arrived.get(&layer.descriptor.digest) {
            let Descriptor { digest, size, media_type, .. } = descriptor.clone();
            store.remember_form(&layer.diff_id, &Source { digest, size, media_type }, made_as.clone(), &place)?;
        }
    }
    Ok(digest)
}

/// What needs no bytes: the repository has it, or borrows it.
async fn look(
    registry: &Registry,
    layers: &[Layer],
    lenders: &BTreeMap<Digest, Vec<String>>,
) -> Result<Vec<Option<Arrived>>> {
    stream::iter(layers)
        .map(|layer| async move {
            for form in &layer.wanted.acceptable {
                // The manifest's own form first, and borrowed before another one that is there: digests stay.
                if registry.has_blob(&form.descriptor.digest).await? {
                    layer.line.state(LayerState::Exists);
                    return Ok(Some(form.arrived()));
                }
                let digest = form.descriptor.digest;
                for lender in lenders.get(&digest).into_iter().flatten().take(MOST_MOUNTS) {
                    if registry.mount(&digest, lender).await? {
                        layer.line.state(LayerState::Exists);
                        return Ok(Some(form.arrived()));
                    }
                }
            }
            Ok(None)
        })
        .buffered(PARALLEL_QUESTIONS)
        .try_collect()
        .await
}

/// Where layers go, and what they are made with.
struct Sending<'a> {
    store: &'a Store,
    registry: &'a Registry,
    origins: Origins,
    worker: UnpackWorker,
    is_docker: bool,
    progress: &'a dyn Progress,
}

impl Sending<'_> {
    async fn all(&self, missing: Vec<&Layer>) -> Result<Vec<(Digest, Arrived)>> {
        stream::iter(missing)
            .map(|layer| async move {
                layer.line.state(LayerState::Downloading);
                let sent = self.one(layer).await;
                layer.line.state(if sent.is_ok() { LayerState::Done } else { LayerState::Failed });
                Ok((layer.descriptor.digest, sent.context(|| format!("cannot send the layer {}", layer.diff_id))?))
            })
            .buffer_unordered(PARALLEL_LAYERS)
            .try_collect()
            .await
    }

    /// As it was kept, copied from where it came from, otherwise made here.
    async fn one(&self, layer: &Layer) -> Result<Arrived> {
        // The line counts bytes of the tar.
        let scaled = |bytes: u64| {
            let done = u128::from(bytes) * u128::from(layer.size) / u128::from(layer.descriptor.size.max(1));
            layer.line.position(u64::try_from(done).unwrap_or(layer.size));
        };
        if let Some((form, file)) = kept::find(self.store, &layer.diff_id, &layer.wanted.acceptable) {
            if kept::send(self.registry, file, &form.descriptor.digest, &scaled).await? {
                return Ok(form.arrived());
            }
            self.progress.warning(&format!("what is kept of {} is damaged: {REPAIR}", form.descriptor.digest));
        }
        match self.origins.copy(layer, self.registry, &scaled).await {
            Ok(true) => {
                let own = layer.wanted.acceptable.iter().find(|form| form.descriptor.digest == layer.descriptor.digest);
                if let Some(form) = own {
                    return Ok(form.arrived());
                }
            }
            Ok(false) => {}
            Err(CopyError::Target(error)) => return Err(error),
            Err(CopyError::Origin(error)) => {
                self.progress.warning(&format!("the layer {} is compressed anew: {error}", layer.descriptor.digest));
            }
        }
        let (form, is_docker) = (layer.wanted.send_as, self.is_docker);
        let outgoing = Outgoing { diff_id: layer.diff_id, form, named: &layer.descriptor, is_docker };
        let descriptor = outgoing.send(self.registry, &self.worker, &|bytes| layer.line.position(bytes)).await?;
        Ok(Arrived { descriptor, made_as: layer::made_as(form) })
    }
}

fn finals(layers: &[Layer], arrived: &BTreeMap<Digest, Arrived>) -> Result<Vec<Descriptor>> {
    layers
        .iter()
        .map(|layer| {
            let found = arrived.get(&layer.descriptor.digest).map(|arrived| arrived.descriptor.clone());
            found.ok_or_else(|| Error::new(format!("the layer {} was not sent", layer.diff_id)))
        })
        .collect()
}
