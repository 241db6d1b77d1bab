//! `save`: images → a docker or OCI archive, streamed. Layers are rebuilt bit for bit and go uncompressed.

use std::io::{BufWriter, Read, Write};

use super::list::listed;
use super::{Image, layer_size, read_manifest, resolve};
use crate::error::{Context, Error, Kind, Result};
use crate::image::archive::{Content, Format, Saved, Writer};
use crate::image::reference::Reference;
use crate::storage::Store;
use crate::storage::worker::{Packing, UnpackWorker};
use crate::userns::IdMaps;

#[derive(Debug, Clone, Copy)]
pub(crate) struct SaveOptions {
    pub format: Format,
    /// Every name must be an image.
    pub only_images: bool,
}

/// The layer's tar from the worker.
struct Layer(Packing);

impl Read for Layer {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.reader.read(buffer)
    }
}

impl Content for Layer {
    fn finish(self) -> Result<()> {
        self.0.finish()
    }
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
        writer.image(image, |diff_id| worker.pack(diff_id).map(Layer))?;
    }
    writer.finish()?.flush().context(|| "cannot write the archive")
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
