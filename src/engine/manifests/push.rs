//! `manifest push`: the images of a list, what else it names, then the list itself.

use super::List;
use super::add::is_image;
use crate::config::registries::Registries;
use crate::engine::images::{self, Image, ManifestFormat, Part, Progress, PushOptions};
use crate::error::{Context, Error, Kind as ErrorKind, Result};
use crate::image::digest::Digest;
use crate::image::manifest::{DOCKER_INDEX, Descriptor, Document, Manifest, OCI_INDEX};
use crate::image::reference::Reference;
use crate::image::transport::{Kind, Local};
use crate::registry::{self, Registry};
use crate::storage::Store;
use crate::userns::IdMaps;

/// What says which manifest an attestation is for (BuildKit).
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// Pushes the list, with its images if `all` says so; answers the digest that it has at the registry. Must be called while the
/// process has one thread.
pub(crate) fn push(
    store: &Store,
    maps: &IdMaps,
    list: &List,
    name: &Reference,
    all: bool,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Digest> {
    let Some(tag) = name.tag().filter(|_| name.digest().is_none()) else {
        return Err(Error::new(format!("{name}: a list is pushed to a tag, its digest follows from its content")));
    };
    let mut sent = list.clone();
    let registry = Registry::for_push(&registry::push_target(&Registries::load()?, name)?, &options.registry, &[])?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start the network client")?;
    if all {
        for entry in list.entries() {
            let digest: Digest = entry["digest"].as_str().unwrap_or_default().parse()?;
            let manifest = manifest(store, &digest)?;
            let what = || format!("cannot push {digest} of {}", list.name);
            if is_image(&manifest) {
                let image = Image::read(store, digest)?;
                let new = images::push_part(store, maps, &image, name, options, progress).context(what)?;
                if new != digest {
                    rename(&mut sent, store, &digest, &new, &runtime, &registry)?;
                }
            } else {
                runtime.block_on(artifact(store, &registry, &digest, &manifest)).context(what)?;
            }
        }
    }
    let (media_type, bytes) = document(&mut sent, options.format)?;
    progress.message("Writing manifest list to image destination");
    runtime.block_on(registry.put_manifest(tag, &media_type, &bytes)).context(|| format!("cannot push {name}"))?;
    Ok(Digest::of(&bytes))
}

/// Writes the list with its images to a file or a directory; answers its digest there. Must be called while the process has one
/// thread.
pub(crate) fn push_local(
    store: &Store,
    maps: &IdMaps,
    list: &List,
    local: &Local,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Digest> {
    let mut digests: Vec<Digest> = Vec::new();
    let mut parts = Vec::new();
    for entry in list.entries() {
        let digest: Digest = entry["digest"].as_str().unwrap_or_default().parse()?;
        let manifest = manifest(store, &digest)?;
        parts.push(match is_image(&manifest) {
            true => Part::Image(Box::new(Image::read(store, digest)?)),
            false => {
                let blobs = manifest.layers.iter().chain([&manifest.config]);
                let blobs = blobs.map(|blob| store.read_blob(&blob.digest)).collect::<Result<_>>()?;
                Part::Artifact(blobs, manifest.kind().to_owned(), store.read_blob(&digest)?)
            }
        });
        digests.push(digest);
    }
    let format = if local.kind == Kind::Dir { options.format } else { Some(ManifestFormat::Oci) };
    images::push_list_local(store, maps, &parts, local, options, progress, |written| {
        let mut sent = list.clone();
        for (old, new) in digests.iter().zip(written).filter(|(old, new)| **old != new.digest) {
            replace(&mut sent, old, new)?;
        }
        document(&mut sent, format)
    })
}

/// Media type and bytes of the list as it goes out.
fn document(list: &mut List, format: Option<ManifestFormat>) -> Result<(String, Vec<u8>)> {
    let media_type = match format {
        Some(ManifestFormat::Docker) => DOCKER_INDEX,
        Some(ManifestFormat::Oci) | None => list.content["mediaType"].as_str().unwrap_or(OCI_INDEX),
    }
    .to_owned();
    if media_type != OCI_INDEX {
        // Docker's has no annotations.
        if let Some(index) = list.content.as_object_mut() {
            index.remove("annotations");
        }
    }
    list.content["mediaType"] = media_type.as_str().into();
    let bytes = list.bytes()?;
    Ok((media_type, bytes))
}

fn manifest(store: &Store, digest: &Digest) -> Result<Manifest> {
    let bytes = store.read_blob(digest).map_err(|error| match error.kind() {
        ErrorKind::NoSuchObject => error.hint("add it to the list again"),
        _ => error,
    })?;
    match Document::parse(&bytes, None)? {
        Document::Image(manifest) => Ok(*manifest),
        Document::Index(_) => Err(Error::new(format!("{digest} is a list within a list"))),
    }
}

/// An image whose layers became others on the way has another manifest; attestations for it follow.
fn rename(
    list: &mut List,
    store: &Store,
    old: &Digest,
    new: &Digest,
    runtime: &tokio::runtime::Runtime,
    registry: &Registry,
) -> Result<()> {
    let fetched = runtime.block_on(registry.manifest_at(&new.to_string()))?;
    let fetched = fetched.ok_or_else(|| Error::new(format!("the registry does not have {new}, which it was sent")))?;
    let media_type = match Document::parse(&fetched.content, None)? {
        Document::Image(manifest) => manifest.kind().to_owned(),
        Document::Index(_) => return Err(Error::new(format!("the registry has a list as {new}"))),
    };
    store.put_blob(&fetched.content)?;
    replace(list, old, &Descriptor::new(&media_type, fetched.content.len() as u64, *new))
}

/// Lets the list name another manifest, also as that which an attestation is for.
fn replace(list: &mut List, old: &Digest, manifest: &Descriptor) -> Result<()> {
    let (old, new) = (old.to_string(), manifest.digest.to_string());
    for entry in list.entries_mut()? {
        if entry["digest"] == old.as_str() {
            entry["digest"] = new.as_str().into();
            entry["size"] = manifest.size.into();
            entry["mediaType"] = manifest.media_type.as_str().into();
        }
        if let Some(about) = entry.pointer_mut(&format!("/annotations/{REFERENCE_DIGEST}"))
            && about.as_str() == Some(old.as_str())
        {
            *about = new.as_str().into();
        }
    }
    Ok(())
}

/// What is no image: a few small blobs.
async fn artifact(store: &Store, registry: &Registry, digest: &Digest, manifest: &Manifest) -> Result<()> {
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        if !registry.has_blob(&blob.digest).await? {
            registry.put_blob(&store.read_blob(&blob.digest)?).await?;
        }
    }
    registry.put_manifest(&digest.to_string(), manifest.kind(), &store.read_blob(digest)?).await
}
