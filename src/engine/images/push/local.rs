//! `push` to a file or a directory.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::forms::Forms;
use super::layer::Wanted;
use super::{ManifestFormat, PushOptions, document, kept, layer};
use crate::engine::images::export::{self, Exported};
use crate::engine::images::{Image, LayerState, Progress, read_manifest};
use crate::error::{Context, Error, Result};
use crate::image::archive::{self, Directory, Format, Saved, Writer};
use crate::image::compress::Form;
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::{Descriptor, Manifest};
use crate::image::reference::Reference;
use crate::image::transport::{Kind, Local};
use crate::state::given;
use crate::storage::Store;
use crate::storage::worker::UnpackWorker;
use crate::userns::IdMaps;

/// Writes `image` to `local`; answers its manifest's digest there. Must be called while the process has one thread.
pub(crate) fn push_local(
    store: &Store,
    maps: &IdMaps,
    image: &Image,
    local: &Local,
    compress: bool,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Digest> {
    let export = plan(store, image, local, compress, options)?;
    export.write(store, maps, local, progress).context(|| format!("cannot write {local}"))
}

/// What is to be written.
struct Export {
    raw: Vec<u8>,
    manifest: Manifest,
    format: ManifestFormat,
    wanted: BTreeMap<DiffId, Wanted>,
    saved: Saved,
}

fn plan(store: &Store, image: &Image, local: &Local, compress: bool, options: &PushOptions) -> Result<Export> {
    let (manifest, config) = read_manifest(store, &image.manifest)?;
    let raw = store.read_blob(&image.manifest)?;
    let mut options = options.clone();
    match local.kind {
        Kind::DockerArchive if options.form.is_some() || options.format == Some(ManifestFormat::Oci) => {
            return Err(Error::new("layers in a docker archive are not compressed, and its format is Docker's")
                .hint("use oci-archive: for another one"));
        }
        Kind::DockerArchive => options.form = Some(Form::Plain),
        // A directory has what Podman would write: plain layers, or the originals.
        Kind::Dir
            if options.form.is_none() && (compress || !export::has_originals(store, &manifest, &image.layers)) =>
        {
            options.form = Some(if compress { Form::gzip() } else { Form::Plain });
        }
        Kind::Oci | Kind::OciArchive if options.format == Some(ManifestFormat::Docker) => {
            return Err(Error::new("an OCI layout holds OCI manifests").hint("use dir: for another one"));
        }
        Kind::Oci | Kind::OciArchive => options.format = Some(ManifestFormat::Oci),
        Kind::Dir => {}
    }
    let (format, wanted) = layer::wanted(&Forms::of(store, &image.layers)?, &manifest, &image.layers, &options)?;
    let wanted = image.layers.iter().copied().zip(wanted).collect();
    let mut layers = Vec::new();
    for diff_id in &image.layers {
        let layer = store.layer(diff_id).ok_or_else(|| {
            Error::new(format!("the layer {diff_id} is not in the store")).hint("pull or load the image again")
        })?;
        layers.push((*diff_id, layer.meta()?.size));
    }
    let names = match (&local.name, local.kind) {
        (Some(name), Kind::DockerArchive) => vec![Reference::parse(name)?.store_name()],
        (Some(name), _) if name.bytes().any(|b| !b.is_ascii_graphic()) => {
            return Err(Error::new(format!("{name:?} cannot be the name of an image in an OCI layout")));
        }
        (name, _) => name.iter().cloned().collect(),
    };
    Ok(Export { raw, manifest, format, wanted, saved: Saved { names, config, layers } })
}

impl Export {
    fn write(&self, store: &Store, maps: &IdMaps, local: &Local, progress: &dyn Progress) -> Result<Digest> {
        let worker = UnpackWorker::start(store, maps)?;
        match local.kind {
            Kind::Oci | Kind::Dir => {
                let format = if local.kind == Kind::Oci { Format::Oci } else { Format::Dir };
                let writer = Writer::<std::io::Empty>::directory(Directory::create(&local.path)?, format);
                let (digest, _) = self.write_to(writer, store, &worker, &local.path, progress)?;
                Ok(digest)
            }
            Kind::DockerArchive | Kind::OciArchive => {
                let is_docker = local.kind == Kind::DockerArchive;
                let existing = std::fs::metadata(&local.path).is_ok_and(|meta| meta.is_file() && meta.len() > 0);
                if is_docker && existing {
                    return Err(Error::new("the file is there already, and a docker archive cannot be added to")
                        .hint("remove it, or write to another one"));
                }
                let file = given::create(&local.path).context(|| format!("cannot create {}", local.path.display()))?;
                let format = if is_docker { Format::Docker } else { Format::Oci };
                let writer = Writer::new(BufWriter::with_capacity(1 << 20, file), format);
                let scratch = local.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let written = self.write_to(writer, store, &worker, scratch, progress).and_then(|(digest, out)| {
                    out.map_or(Ok(()), |mut out| out.flush()).context(|| "cannot write the archive")?;
                    Ok(digest)
                });
                if written.is_err() {
                    // Half an archive is worse than none; the error that matters is the first.
                    let _ = std::fs::remove_file(&local.path);
                }
                written
            }
        }
    }

    fn write_to<W: Write>(
        &self,
        mut writer: Writer<W>,
        store: &Store,
        worker: &UnpackWorker,
        scratch: &Path,
        progress: &dyn Progress,
    ) -> Result<(Digest, Option<W>)> {
        let is_docker = self.format == ManifestFormat::Docker;
        let open = |diff_id: &DiffId, size| {
            progress.layer(diff_id, size).state(LayerState::Downloading);
            let wanted = self.wanted.get(diff_id);
            let acceptable = wanted.map_or(&[][..], |wanted| &wanted.acceptable);
            if let Some((form, file)) = kept::find(store, diff_id, acceptable) {
                return Ok((form.descriptor.clone(), Exported::kept(file, form.descriptor.digest)));
            }
            let form = wanted.map_or(Form::Plain, |wanted| wanted.send_as);
            export::open(worker, scratch, diff_id, size, form, is_docker)
        };
        let digest = Cell::new(None);
        let manifest = |layers: &[Descriptor]| {
            let (media_type, content) = document::manifest(&self.raw, &self.manifest, layers, self.format)?;
            digest.set(Some(Digest::of(&content)));
            Ok((media_type, content))
        };
        writer.image_as(&self.saved, open, &manifest)?;
        progress.message("Writing manifest to image destination");
        let out = writer.finish()?;
        let digest = match digest.get() {
            Some(digest) => digest,
            // A docker archive has no manifest; this is the one it gets where it is loaded.
            None => Digest::of(&archive::docker_manifest(&self.saved.config, &self.saved.layers)?),
        };
        Ok((digest, out))
    }
}
