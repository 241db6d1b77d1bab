//! `push` to a file or a directory.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

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
    let write = || {
        let mut target = Target::create(store, maps, local, progress)?;
        let written = target.image(&export);
        target.finish(local, written)
    };
    write().context(|| format!("cannot write {local}"))
}

/// What a list names.
pub(crate) enum Part {
    Image(Box<Image>),
    /// Small blobs, and the manifest with its media type.
    Artifact(Vec<Vec<u8>>, String, Vec<u8>),
}

/// Writes what a list names to `local`, then the list that `list` makes of what became of it; answers the list's digest. Must be
/// called while the process has one thread.
pub(crate) fn push_list_local(
    store: &Store,
    maps: &IdMaps,
    parts: &[Part],
    local: &Local,
    options: &PushOptions,
    progress: &dyn Progress,
    list: impl FnOnce(&[Descriptor]) -> Result<(String, Vec<u8>)>,
) -> Result<Digest> {
    if local.kind == Kind::DockerArchive {
        return Err(Error::new("a docker archive holds images, but no lists of them").hint("use oci-archive:"));
    }
    let names = names(local)?;
    let exports = parts.iter().map(|part| match part {
        Part::Image(image) => plan(store, image, local, false, options).map(Some),
        Part::Artifact(..) => Ok(None),
    });
    let exports = exports.collect::<Result<Vec<_>>>()?;
    let write = || {
        let mut target = Target::create(store, maps, local, progress)?;
        let written = target.list(parts, &exports, &names, list);
        target.finish(local, written)
    };
    write().context(|| format!("cannot write {local}"))
}

fn names(local: &Local) -> Result<Vec<String>> {
    match (&local.name, local.kind) {
        (Some(name), Kind::DockerArchive) => Ok(vec![Reference::parse(name)?.store_name()]),
        (Some(name), _) if name.bytes().any(|b| !b.is_ascii_graphic()) => {
            Err(Error::new(format!("{name:?} cannot be the name of an image in an OCI layout")))
        }
        (name, _) => Ok(name.iter().cloned().collect()),
    }
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
    let mut names = names(local)?;
    if names.is_empty() && local.kind == Kind::DockerArchive {
        // Its own; without any it would come back nameless.
        names.extend(image.name.iter().filter(|name| !name.contains('@')).cloned());
    }
    Ok(Export { raw, manifest, format, wanted, saved: Saved { names, config, layers } })
}

/// The file or directory that is written.
struct Target<'a> {
    writer: Writer<Box<dyn Write>>,
    store: &'a Store,
    worker: UnpackWorker,
    /// Where compressed layers are made.
    scratch: PathBuf,
    progress: &'a dyn Progress,
}

impl<'a> Target<'a> {
    fn create(store: &'a Store, maps: &IdMaps, local: &Local, progress: &'a dyn Progress) -> Result<Self> {
        let worker = UnpackWorker::start(store, maps)?;
        let (writer, scratch) = match local.kind {
            Kind::Oci | Kind::Dir => {
                let format = if local.kind == Kind::Oci { Format::Oci } else { Format::Dir };
                (Writer::directory(Directory::create(&local.path)?, format), local.path.clone())
            }
            Kind::DockerArchive | Kind::OciArchive => {
                let is_docker = local.kind == Kind::DockerArchive;
                let existing = std::fs::metadata(&local.path).is_ok_and(|meta| meta.is_file() && meta.len() > 0);
                if is_docker && existing {
                    return Err(Error::new("the file is there already, and a docker archive cannot be added to")
                        .hint("remove it, or write to another one"));
                }
                let file = given::create(&local.path).context(|| format!("cannot create {}", local.path.display()))?;
                let out: Box<dyn Write> = Box::new(BufWriter::with_capacity(1 << 20, file));
                let scratch = local.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let format = if is_docker { Format::Docker } else { Format::Oci };
                (Writer::new(out, format), scratch.to_path_buf())
            }
        };
        Ok(Self { writer, store, worker, scratch, progress })
    }

    /// Ends what was written, or takes it away again.
    fn finish(self, local: &Local, written: Result<Digest>) -> Result<Digest> {
        let written = written.and_then(|digest| {
            let out = self.writer.finish()?;
            out.map_or(Ok(()), |mut out| out.flush()).context(|| "cannot write the archive")?;
            Ok(digest)
        });
        if written.is_err() && local.is_archive() {
            // Half an archive is worse than none; the error that matters is the first.
            let _ = std::fs::remove_file(&local.path);
        }
        written
    }

    fn image(&mut self, export: &Export) -> Result<Digest> {
        let digest = Cell::new(None);
        let manifest = |layers: &[Descriptor]| {
            let (media_type, content) = export.manifest(layers)?;
            digest.set(Some(Digest::of(&content)));
            Ok((media_type, content))
        };
        let open = export.open(self.store, &self.worker, &self.scratch, self.progress);
        self.writer.image_as(&export.saved, open, &manifest)?;
        self.progress.message("Writing manifest to image destination");
        match digest.get() {
            Some(digest) => Ok(digest),
            // A docker archive has no manifest; this is the one it gets where it is loaded.
            None => Ok(Digest::of(&archive::docker_manifest(&export.saved.config, &export.saved.layers)?)),
        }
    }

    fn list(
        &mut self,
        parts: &[Part],
        exports: &[Option<Export>],
        names: &[String],
        list: impl FnOnce(&[Descriptor]) -> Result<(String, Vec<u8>)>,
    ) -> Result<Digest> {
        let mut written = Vec::new();
        for (part, export) in parts.iter().zip(exports) {
            written.push(match (part, export) {
                (Part::Artifact(blobs, media_type, manifest), _) => {
                    blobs.iter().try_for_each(|blob| self.writer.blob(blob))?;
                    self.writer.part_manifest(media_type, manifest)?
                }
                (Part::Image(_), Some(export)) => {
                    let open = export.open(self.store, &self.worker, &self.scratch, self.progress);
                    self.writer.part(&export.saved, open, &|layers| export.manifest(layers))?
                }
                (Part::Image(image), None) => return Err(Error::new(format!("{} is not planned", image.id))),
            });
        }
        let (media_type, content) = list(&written)?;
        self.progress.message("Writing manifest list to image destination");
        self.writer.top(names, &media_type, &content)?;
        Ok(Digest::of(&content))
    }
}

impl Export {
    /// How a layer is to be had.
    fn open<'a>(
        &'a self,
        store: &'a Store,
        worker: &'a UnpackWorker,
        scratch: &'a Path,
        progress: &'a dyn Progress,
    ) -> impl FnMut(&DiffId, u64) -> Result<(Descriptor, Exported)> + 'a {
        let is_docker = self.format == ManifestFormat::Docker;
        move |diff_id, size| {
            progress.layer(diff_id, size).state(LayerState::Downloading);
            let wanted = self.wanted.get(diff_id);
            let acceptable = wanted.map_or(&[][..], |wanted| &wanted.acceptable);
            if let Some((form, file)) = kept::find(store, diff_id, acceptable) {
                return Ok((form.descriptor.clone(), Exported::kept(file, form.descriptor.digest)));
            }
            let form = wanted.map_or(Form::Plain, |wanted| wanted.send_as);
            export::open(worker, scratch, diff_id, size, form, is_docker)
        }
    }

    /// The manifest around the layers as they were written.
    fn manifest(&self, layers: &[Descriptor]) -> Result<(String, Vec<u8>)> {
        document::manifest(&self.raw, &self.manifest, layers, self.format)
    }
}
