//! `manifest add`: images of the store, or of a registry, into a list.

use serde_json::{Value, json};

use super::{List, Notes, apply};
use crate::config::registries::Registries;
use crate::engine::images::{self, Image, Progress, PullOptions, PullPolicy};
use crate::error::{Context, Error, Kind, Result};
use crate::image::compress::Form;
use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, Document, Index, MAX_CONFIG, Manifest};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::transport::Transport;
use crate::registry::{self, Registry};
use crate::state::paths::Dirs;
use crate::storage::Store;
use crate::userns::IdMaps;

/// Where images come from, and how.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub dirs: &'a Dirs,
    pub store: &'a Store,
    pub maps: &'a IdMaps,
    pub registry: &'a registry::Options,
    /// Every manifest of a registry's list, not only the one for this machine.
    pub all: bool,
}

/// Adds what `name` means to `list`: an image that is here, otherwise one of a registry, which is brought here. Must be called
/// while the process has one thread.
pub(crate) fn add(
    source: Source<'_>,
    list: &mut List,
    name: &str,
    notes: &Notes,
    progress: &dyn Progress,
) -> Result<()> {
    let entries = match Transport::parse(name)? {
        Some(Transport::Local(local)) => {
            let wanted = platform(notes)?.unwrap_or_else(Platform::host);
            let loaded = images::pull_unnamed(source.dirs, source.store, source.maps, &local, &wanted, progress)?;
            let entry = of_image(source.store, &Image::read(source.store, loaded.manifest)?)?;
            let added = put_all(source.store, list, vec![entry], notes);
            if loaded.is_newly_kept {
                // From here on the list keeps it.
                images::forget_nameless(source.store, &loaded.manifest)?;
            }
            return added;
        }
        Some(Transport::Docker(name)) => from_registry(source, &name, notes, progress)?,
        None => match images::resolve(source.store, name) {
            Ok(image) if !source.all => vec![of_image(source.store, &image)?],
            Err(error) if error.kind() != Kind::NoSuchObject => return Err(error),
            _ => from_registry(source, name, notes, progress)?,
        },
    };
    put_all(source.store, list, entries, notes)
}

fn put_all(store: &Store, list: &mut List, entries: Vec<Value>, notes: &Notes) -> Result<()> {
    for mut entry in entries {
        apply(&mut entry, notes)?;
        list.put(entry)?;
    }
    list.check()?;
    list.keep(store)
}

fn platform(notes: &Notes) -> Result<Option<Platform>> {
    if notes.os.is_none() && notes.arch.is_none() && notes.variant.is_none() {
        return Ok(None);
    }
    let host = Platform::host();
    let mut text =
        format!("{}/{}", notes.os.as_deref().unwrap_or(&host.os), notes.arch.as_deref().unwrap_or(&host.architecture));
    if let Some(variant) = &notes.variant {
        text = format!("{text}/{variant}");
    }
    Platform::parse(&text).map(Some)
}

/// The entry for an image of the store.
fn of_image(store: &Store, image: &Image) -> Result<Value> {
    let bytes = store.read_blob(&image.manifest)?;
    let Document::Image(manifest) = Document::parse(&bytes, None)? else {
        return Err(Error::new(format!("{} is an index where an image should be", image.manifest)));
    };
    let platform = image.config.platform();
    Ok(json!({
        "mediaType": manifest.kind(), "size": bytes.len(), "digest": image.manifest, "platform": platform,
    }))
}

fn from_registry(source: Source<'_>, name: &str, notes: &Notes, progress: &dyn Progress) -> Result<Vec<Value>> {
    let config = Registries::load()?;
    let reference = registry::candidates(&config, name)?.into_iter().next();
    let reference = reference.ok_or_else(|| Error::new(format!("no registry is configured for {name}")))?;
    let registry = Registry::new(&registry::push_target(&config, &reference)?, source.registry)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start the network client")?;
    let what = || format!("cannot add {reference}");
    let fetched = runtime.block_on(registry.manifest()).context(what)?;
    match Document::parse(&fetched.content, fetched.content_type.as_deref())? {
        Document::Image(_) => {
            let image = bring(source, &reference, fetched.digest, None, progress).context(what)?;
            Ok(vec![of_image(source.store, &image)?])
        }
        Document::Index(index) => {
            let chosen = chosen(&index, source.all, notes)?;
            // As they are written, with everything that is said about them.
            let whole: Value = serde_json::from_slice(&fetched.content).context(|| "the index is damaged")?;
            let mut entries = Vec::new();
            for (descriptor, entry) in index.manifests.iter().zip(whole["manifests"].as_array().into_iter().flatten()) {
                if !chosen.contains(&descriptor.digest) {
                    continue;
                }
                let fetched = runtime.block_on(registry.manifest_of(descriptor)).context(what)?;
                match Document::parse(&fetched.content, fetched.content_type.as_deref())? {
                    Document::Image(manifest) if is_image(&manifest) => {
                        let platform = descriptor.platform.clone();
                        bring(source, &reference, descriptor.digest, platform, progress).context(what)?;
                    }
                    Document::Image(manifest) => {
                        for blob in manifest.layers.iter().chain([&manifest.config]) {
                            let content = runtime.block_on(registry.small_blob(blob, MAX_CONFIG)).context(what)?;
                            source.store.put_blob(&content)?;
                        }
                        source.store.put_blob(&fetched.content)?;
                    }
                    Document::Index(_) => return Err(Error::new("an index within an index cannot be added")),
                }
                entries.push(entry.clone());
            }
            Ok(entries)
        }
    }
}

fn chosen(index: &Index, all: bool, notes: &Notes) -> Result<Vec<Digest>> {
    if all {
        return Ok(index.manifests.iter().map(|entry| entry.digest).collect());
    }
    let wanted = platform(notes)?.unwrap_or_else(Platform::host);
    Ok(vec![index.select(&wanted)?.digest])
}

/// Whether layers are file systems; attestations and other artifacts have something else there.
pub(super) fn is_image(manifest: &Manifest) -> bool {
    let is_layer = |layer: &Descriptor| Form::of_media_type(&layer.media_type).is_some();
    manifest.layers.iter().all(is_layer) && manifest.config.media_type.contains("image")
}

/// One manifest of a repository into the store, whatever machine it is for.
fn bring(
    source: Source<'_>,
    reference: &Reference,
    digest: Digest,
    platform: Option<Platform>,
    progress: &dyn Progress,
) -> Result<Image> {
    let options = PullOptions {
        platform,
        policy: PullPolicy::Missing,
        registry: source.registry.clone(),
        signature_policy: None,
    };
    let name = reference.pinned(&digest);
    images::pull(source.dirs, source.store, source.maps, &name, &options, progress)
}
