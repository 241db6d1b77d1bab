//! `save`: images → a docker or OCI archive, streamed, or a directory. Layers are rebuilt bit for bit and go uncompressed,
//! unless a directory is to have them compressed. An image whose layers were all kept as they came goes into an OCI layout or
//! a directory as it came, with the same digests where its manifest is of the format's kind.

use std::io::{BufWriter, Write};
use std::path::Path;

use super::export::{self, Exported};
use super::list::listed;
use super::push::{ManifestFormat, document};
use super::{Image, layer_size, read_manifest, resolve};
use crate::error::{Context, Error, Kind, Result};
use crate::image::archive::{Directory, Format, Saved, Writer};
use crate::image::compress::Form;
use crate::image::digest::DiffId;
use crate::image::manifest::{
    DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};
use crate::image::reference::Reference;
use crate::storage::Store;
use crate::storage::worker::UnpackWorker;
use crate::userns::IdMaps;

#[derive(Debug, Clone, Copy)]
pub(crate) struct SaveOptions {
    pub format: Format,
    /// Every name must be an image.
    pub only_images: bool,
}

/// An image to be saved.
#[derive(Debug)]
pub(crate) struct Planned {
    saved: Saved,
    /// Manifest, as it is and parsed, of an image that can be had as it came.
    original: Option<(Vec<u8>, Manifest)>,
}

impl Planned {
    /// The layer as it came.
    fn kept(&self, store: &Store, diff_id: &DiffId, is_docker: bool) -> Option<(Descriptor, Exported)> {
        let (_, manifest) = self.original.as_ref()?;
        let at = self.saved.layers.iter().position(|(other, _)| other == diff_id)?;
        let mut descriptor = manifest.layers.get(at)?.clone();
        if (manifest.kind() == DOCKER_MANIFEST) != is_docker {
            descriptor.media_type = Form::of_media_type(&descriptor.media_type)?.media_type(is_docker).ok()?;
        }
        let file = store.compressed(diff_id, &descriptor.digest)?;
        Some((descriptor.clone(), Exported::kept(file, descriptor.digest)))
    }

    /// The manifest around the layers as they were written.
    fn manifest(&self, layers: &[Descriptor], is_docker: bool) -> Result<(String, Vec<u8>)> {
        if let Some((raw, manifest)) = &self.original {
            let format = if is_docker { ManifestFormat::Docker } else { ManifestFormat::Oci };
            return document::manifest(raw, manifest, layers, format);
        }
        let (kind, config_kind) = if is_docker { (DOCKER_MANIFEST, DOCKER_CONFIG) } else { (OCI_MANIFEST, OCI_CONFIG) };
        let config = Descriptor::of(config_kind, &self.saved.config);
        Ok((kind.to_owned(), Manifest::new(kind, config, layers.to_vec()).to_bytes()?))
    }
}

/// Writes what [`plan`] found to `out`. Must be called while the process has one thread.
pub(crate) fn save(
    store: &Store,
    maps: &IdMaps,
    images: &[Planned],
    options: SaveOptions,
    out: impl Write,
) -> Result<()> {
    let worker = UnpackWorker::start(store, maps)?;
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 20, out), options.format);
    for image in images {
        let open = |diff_id: &DiffId, size| match image.kept(store, diff_id, false) {
            Some(kept) => Ok(kept),
            None => Ok((Descriptor::new(OCI_LAYER, size, *diff_id), Exported::Plain(worker.pack(diff_id)?))),
        };
        writer.image_as(&image.saved, open, &|layers| image.manifest(layers, false))?;
    }
    writer.finish()?.map_or(Ok(()), |mut out| out.flush().context(|| "cannot write the archive"))
}

/// Writes what [`plan`] found to a directory: an OCI layout, or the `dir:` of one image, its layers compressed with gzip when
/// `compress` says so. Must be called while the process has one thread.
pub(crate) fn save_directory(
    store: &Store,
    maps: &IdMaps,
    images: &[Planned],
    format: Format,
    compress: bool,
    path: &Path,
) -> Result<()> {
    if format == Format::Dir && images.len() > 1 {
        return Err(Error::new("a docker-dir holds one image").hint("use oci-dir or an archive for several"));
    }
    let worker = UnpackWorker::start(store, maps)?;
    let mut writer = Writer::<std::io::Empty>::directory(Directory::create(path)?, format);
    for image in images {
        let form = if compress { Form::gzip() } else { Form::Plain };
        let is_docker = format == Format::Dir;
        let open = |diff_id: &DiffId, size| match image.kept(store, diff_id, is_docker) {
            Some(kept) => Ok(kept),
            None => export::open(&worker, path, diff_id, size, form, is_docker),
        };
        writer.image_as(&image.saved, open, &|layers| image.manifest(layers, is_docker))?;
    }
    writer.finish().map(drop)
}

/// What to save. Names that are in the store are images; others are further tags for the first of them, as in Podman.
pub(crate) fn plan(store: &Store, names: &[String], options: SaveOptions) -> Result<Vec<Planned>> {
    let mut images: Vec<(Image, Vec<String>)> = Vec::new();
    for name in names {
        let image = match resolve(store, name) {
            Ok(image) => image,
            Err(error) if error.kind() == Kind::NoSuchObject && !images.is_empty() && !options.only_images => {
                let tag = Reference::parse_local(name)?.store_name();
                images[0].1.push(tag);
                continue;
            }
            Err(error) => return Err(error),
        };
        let tags = image.name.clone().filter(|name| super::resolve::is_tag(name));
        match images.iter_mut().find(|(other, _)| other.id == image.id) {
            Some((_, names)) => names.extend(tags),
            None => images.push((image, tags.into_iter().collect())),
        }
    }
    images.into_iter().map(|(image, names)| planned(store, &image, names, options.format)).collect()
}

fn planned(store: &Store, image: &Image, mut names: Vec<String>, format: Format) -> Result<Planned> {
    // An image that was named by its digest keeps no tag, one that was named by its id all of them.
    if names.is_empty() && image.name.is_none() {
        names = listed(store, image)?.tags;
    }
    names.dedup();
    let (manifest, config) = read_manifest(store, &image.manifest)?;
    let mut layers = Vec::new();
    for diff_id in &image.layers {
        if store.layer(diff_id).is_none() {
            return Err(
                Error::new(format!("the layer {diff_id} is not in the store")).hint("pull or load the image again")
            );
        }
        layers.push((*diff_id, layer_size(store, diff_id)?));
    }
    // The layers of a docker archive are named by what they are uncompressed.
    let kept = format != Format::Docker && export::has_originals(store, &manifest, &image.layers);
    let original = if kept { Some((store.read_blob(&image.manifest)?, manifest)) } else { None };
    Ok(Planned { saved: Saved { names, config, layers }, original })
}
