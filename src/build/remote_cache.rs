//! `--cache-to`, `--cache-from`: what steps made, as an image in a registry or a directory.
//!
//! The image's layers are those of the steps, each once; its label [`LABEL`] is a JSON list of keys and steps. A key stands
//! for everything that went into a step whatever the machine, so that what one has built another need not.

use std::collections::BTreeMap;
use std::path::Path;

use super::request::{CacheMode, CachePlace};
use crate::engine::images::{self, Image, Progress, PullOptions, PullPolicy, PushOptions, RemoveOptions};
use crate::error::{Context, Error, Result};
use crate::image::config::{ImageConfig, RootFs};
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::{Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::transport::{Kind, Local};
use crate::state::lock::Mode;
use crate::state::paths::Dirs;
use crate::storage::{BuildStep, Store};
use crate::userns::IdMaps;

const LABEL: &str = "io.rpod.build-cache";

/// Steps by their keys.
pub(crate) type Steps = BTreeMap<String, BuildStep>;

/// Takes in what others have built. A cache that is not there costs a warning, no more. For a single-threaded process.
pub(super) fn import(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    from: &[CachePlace],
    pull: &PullOptions,
    progress: &dyn Progress,
) -> Result<()> {
    for place in from {
        if let Err(error) = import_one(dirs, store, maps, place, pull, progress) {
            progress.warning(&format!("cannot use the build cache {place}: {error}"));
        }
    }
    Ok(())
}

fn import_one(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    place: &CachePlace,
    pull: &PullOptions,
    progress: &dyn Progress,
) -> Result<()> {
    let name = match place {
        CachePlace::Registry { name, .. } => name.clone(),
        CachePlace::Directory { path, .. } => format!("oci:{}", path.display()),
    };
    let before = images::resolve(store, &name).is_ok();
    let options = PullOptions {
        policy: PullPolicy::Always,
        platform: None,
        registry: pull.registry.clone(),
        signature_policy: None,
    };
    let image = images::pull_apart(dirs, store, maps, &name, &options, progress)?;
    let taken = take_in(store, &image);
    // Nobody wants to see it among the images; its layers are the steps' now.
    if !before {
        let options = RemoveOptions { force: true, ignore: true, all_names: true };
        images::remove(store, &image.id.hex(), options, &|_| Ok(Vec::new()))?;
    }
    taken
}

fn take_in(store: &Store, image: &Image) -> Result<()> {
    let text = image.config.config.labels.get(LABEL);
    let text = text.ok_or_else(|| Error::new("it is an image, not a build cache that --cache-to made"))?;
    let steps: Steps = serde_json::from_str(text).context(|| "it cannot be understood")?;
    for (key, step) in &steps {
        let key: Digest = key.parse().context(|| "it cannot be understood")?;
        let whole = step.layer.is_none_or(|layer| image.layers.contains(&layer) && store.layer(&layer).is_some());
        if whole && store.build_step(&key).is_none() {
            store.put_build_step(&key, step)?;
        }
    }
    Ok(())
}

/// Gives what was built to others. Starts threads.
pub(crate) fn export(
    store: &Store,
    maps: &IdMaps,
    to: &[CachePlace],
    (all, of_target): (&Steps, &Steps),
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<()> {
    for place in to {
        let steps = if place.mode() == CacheMode::All { all } else { of_target };
        export_one(store, maps, place, steps, options, progress)
            .context(|| format!("cannot write the build cache {place}"))?;
    }
    Ok(())
}

fn export_one(
    store: &Store,
    maps: &IdMaps,
    place: &CachePlace,
    steps: &Steps,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<()> {
    let _guard = store.gc_lock(Mode::Shared)?;
    let mut layers: Vec<DiffId> = steps.values().filter_map(|step| step.layer).collect();
    layers.sort();
    layers.dedup();
    let Platform { architecture, os, variant, .. } = Platform::host();
    let mut config = ImageConfig {
        architecture,
        os,
        variant,
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: layers.clone() },
        ..ImageConfig::default()
    };
    let text = serde_json::to_string(steps).context(|| "cannot encode the steps")?;
    config.config.labels.insert(LABEL.to_owned(), text);
    let config = config.to_bytes()?;
    store.put_blob(&config)?;
    let sizes =
        store.layers(&layers)?.iter().map(|layer| layer.meta().map(|meta| meta.size)).collect::<Result<Vec<_>>>()?;
    let descriptors = layers.iter().zip(sizes).map(|(layer, size)| Descriptor::new(OCI_LAYER, size, *layer)).collect();
    let manifest = Manifest::new(OCI_MANIFEST, Descriptor::of(OCI_CONFIG, &config), descriptors);
    let image = Image::read(store, store.put_blob(&manifest.to_bytes()?)?)?;
    match place {
        CachePlace::Registry { name, .. } => {
            images::push(store, maps, &image, &Reference::parse(name)?, options, progress)?;
        }
        CachePlace::Directory { path, .. } => {
            let local = Local { kind: Kind::Oci, path: path.clone(), name: None };
            make(path)?;
            images::push_local(store, maps, &image, &local, false, options, progress)?;
        }
    }
    Ok(())
}

/// A directory with one cache: what was in it goes.
fn make(path: &Path) -> Result<()> {
    crate::storage::remove_path(path).context(|| format!("cannot replace {}", path.display()))
}
