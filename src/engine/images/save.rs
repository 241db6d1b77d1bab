//! `save`: images → a docker or OCI archive, streamed, or a directory. Layers are rebuilt bit for bit and go uncompressed,
//! unless a directory is to have them compressed.

use std::io::{BufWriter, Write};
use std::path::Path;

use super::export::{self, Exported};
use super::list::listed;
use super::{Image, layer_size, read_manifest, resolve};
use crate::error::{Context, Error, Kind, Result};
use crate::image::archive::{Directory, Format, Saved, Writer};
use crate::image::compress::Form;
use crate::image::digest::DiffId;
use crate::image::manifest::{DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_MANIFEST};
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

/// Writes what [`plan`] found to `out`. Must be called while the process has one thread.
pub(crate) fn save(
    store: &Store,
    maps: &IdMaps,
    images: &[Saved],
    options: SaveOptions,
    out: impl Write,
) -> Result<()> {
    let worker = UnpackWorker::start(store, maps)?;
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 20, out), options.format);
    for image in images {
        writer.image(image, |diff_id| worker.pack(diff_id).map(Exported::Plain))?;
    }
    writer.finish()?.map_or(Ok(()), |mut out| out.flush().context(|| "cannot write the archive"))
}

/// Writes what [`plan`] found to a directory: an OCI layout, or the `dir:` of one image, its layers compressed with gzip when
/// `compress` says so. Must be called while the process has one thread.
pub(crate) fn save_directory(
    store: &Store,
    maps: &IdMaps,
    images: &[Saved],
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
        let open = |diff_id: &DiffId, size| export::open(&worker, path, diff_id, size, form, is_docker);
        let manifest = |layers: &[Descriptor]| {
            let (kind, config_kind) =
                if is_docker { (DOCKER_MANIFEST, DOCKER_CONFIG) } else { (OCI_MANIFEST, OCI_CONFIG) };
            let config = Descriptor::of(config_kind, &image.config);
            Ok((kind.to_owned(), Manifest::new(kind, config, layers.to_vec()).to_bytes()?))
        };
        writer.image_as(image, open, &manifest)?;
    }
    writer.finish().map(drop)
}

/// What to save. Names that are in the store are images; others are further tags for the first of them, as in Podman.
pub(crate) fn plan(store: &Store, names: &[String], options: SaveOptions) -> Result<Vec<Saved>> {
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
    images.into_iter().map(|(image, names)| saved(store, &image, names)).collect()
}

fn saved(store: &Store, image: &Image, mut names: Vec<String>) -> Result<Saved> {
    // An image that was named by its digest keeps no tag, one that was named by its id all of them.
    if names.is_empty() && image.name.is_none() {
        names = listed(store, image)?.tags;
    }
    names.dedup();
    let (_, config) = read_manifest(store, &image.manifest)?;
    let mut layers = Vec::new();
    for diff_id in &image.layers {
        if store.layer(diff_id).is_none() {
            return Err(
                Error::new(format!("the layer {diff_id} is not in the store")).hint("pull or load the image again")
            );
        }
        layers.push((*diff_id, layer_size(store, diff_id)?));
    }
    Ok(Saved { names, config, layers })
}
