//! One layer of a push: the forms it may have at the registry, and sending it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::forms::Forms;
use super::{Arrived, ManifestFormat, PushOptions};
use crate::error::{Context, Error, Result};
use crate::image::compress::{self, Form};
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::{DOCKER_MANIFEST, Descriptor, Manifest};
use crate::registry::Registry;
use crate::storage::KnownForm;
use crate::storage::worker::{Packing, UnpackWorker};

/// Compressed pieces between the threads that compress and the connection.
const PIECES: usize = 4;

/// What a layer may be at the registry.
pub(super) struct Wanted {
    /// Forms that will do if the registry has them, the best first.
    pub acceptable: Vec<Acceptable>,
    pub send_as: Form,
}

pub(super) struct Acceptable {
    pub descriptor: Descriptor,
    pub made_as: Option<String>,
}

impl Acceptable {
    pub(super) fn arrived(&self) -> Arrived {
        Arrived { descriptor: self.descriptor.clone(), made_as: self.made_as.clone() }
    }
}

/// How rpod made a form, to be remembered with it.
pub(super) fn made_as(form: Form) -> Option<String> {
    match form {
        Form::Plain => None,
        Form::Gzip(level) => Some(format!("gzip:{level}")),
        Form::Zstd(level) => Some(format!("zstd:{level}")),
    }
}

fn parse_made_as(text: &str) -> Option<Form> {
    let (name, level) = text.split_once(':')?;
    Form::parse(name, Some(level.parse().ok()?)).ok()
}

/// The format of the manifest to be, and what each layer is to be.
pub(super) fn wanted(
    forms: &Forms,
    manifest: &Manifest,
    diff_ids: &[DiffId],
    options: &PushOptions,
) -> Result<(ManifestFormat, Vec<Wanted>)> {
    if manifest.layers.len() != diff_ids.len() {
        return Err(Error::new("the image's manifest and config name different numbers of layers"));
    }
    let own = if manifest.kind() == DOCKER_MANIFEST { ManifestFormat::Docker } else { ManifestFormat::Oci };
    let format = match (options.format, options.form) {
        (Some(format), _) => format,
        // Docker's has no word for it.
        (None, Some(Form::Zstd(_))) => ManifestFormat::Oci,
        (None, _) => own,
    };
    let is_docker = format == ManifestFormat::Docker;
    if let Some(form) = options.form {
        form.media_type(is_docker)?;
    }
    let layers = manifest.layers.iter().zip(diff_ids);
    let wanted = layers.map(|(descriptor, diff_id)| {
        layer(forms.layer(diff_id), descriptor, diff_id, format == own, is_docker, options)
    });
    Ok((format, wanted.collect::<Result<_>>()?))
}

fn layer(
    known: &[KnownForm],
    descriptor: &Descriptor,
    diff_id: &DiffId,
    same_format: bool,
    is_docker: bool,
    options: &PushOptions,
) -> Result<Wanted> {
    let own = known.iter().find(|form| form.source.digest == descriptor.digest);
    // Layers made or loaded here are not compressed, whatever the manifest calls them. They are sent compressed, unless they
    // came from a registry as they are.
    let is_plain = descriptor.digest == *diff_id;
    let own_form = match Form::of_media_type(&descriptor.media_type) {
        _ if is_plain => Some(Form::Plain),
        form => form,
    };
    let kept = match own_form {
        Some(Form::Plain) => own.map(|_| Form::Plain),
        Some(Form::Zstd(_)) if is_docker => None,
        form => form,
    };
    // At the level it was made with, when that was here.
    let kept = kept.map(|form| own.and_then(|own| parse_made_as(own.made_as.as_deref()?)).unwrap_or(form));
    let insists = options.form.is_some() && options.force_compression != Some(false);
    let send_as = options.form.or(kept).unwrap_or_else(Form::gzip);
    let fits = |form: Option<Form>, made_as: Option<Form>| match form {
        None => !insists,
        Some(form) if insists && options.exact_level => made_as == Some(send_as) && form.same_algorithm(send_as),
        Some(form) if form.same_algorithm(send_as) => true,
        // A base image's layer stays what it is there. What was made here for somebody who asked for it is no choice for
        // everybody.
        Some(form) if options.form.is_none() => form != Form::Plain && is_plain && made_as.is_none(),
        Some(form) => form != Form::Plain && !insists,
    };
    let mut acceptable = Vec::new();
    let made_here = |form: &KnownForm| parse_made_as(form.made_as.as_deref()?);
    if fits(own_form, own.and_then(made_here)) && own_form.is_none_or(|form| form.media_type(is_docker).is_ok()) {
        let mut descriptor = descriptor.clone();
        if let (false, Some(form)) = (same_format, own_form) {
            descriptor.media_type = form.media_type(is_docker)?;
        }
        acceptable.push(Acceptable { descriptor, made_as: own.and_then(|own| own.made_as.clone()) });
    }
    for other in known.iter().rev().filter(|other| other.source.digest != descriptor.digest) {
        let form = match Form::of_media_type(&other.source.media_type) {
            Some(form) if fits(Some(form), made_here(other)) => form,
            _ => continue,
        };
        let Ok(media_type) = form.media_type(is_docker) else { continue };
        let descriptor = Descriptor::new(&media_type, other.source.size, other.source.digest);
        acceptable.push(Acceptable { descriptor, made_as: other.made_as.clone() });
    }
    Ok(Wanted { acceptable, send_as })
}

/// A layer to be sent.
pub(super) struct Outgoing<'a> {
    pub diff_id: DiffId,
    pub form: Form,
    /// What the manifest says, to be kept when the same bytes come out.
    pub named: &'a Descriptor,
    pub is_docker: bool,
}

impl Outgoing<'_> {
    /// Rebuilds, compresses and sends it, all at once; what the registry has then.
    pub(super) async fn send(
        &self,
        registry: &Registry,
        worker: &UnpackWorker,
        meter: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Descriptor> {
        let packing = worker.pack(&self.diff_id)?;
        let read = Arc::new(AtomicU64::new(0));
        let (pieces, mut arriving) = mpsc::channel::<Vec<u8>>(PIECES);
        let (form, counted) = (self.form, Arc::clone(&read));
        let compressing = tokio::task::spawn_blocking(move || make(packing, form, &counted, &pieces));
        let mut upload = registry.upload().await?;
        let mut hash = Sha256::new();
        let mut size = 0u64;
        while let Some(piece) = arriving.recv().await {
            hash.update(&piece);
            size += piece.len() as u64;
            upload.write(&piece).await?;
            meter(read.load(Ordering::Relaxed));
        }
        // Only now it is known whether all of the layer came, and undamaged.
        if let Err(error) = compressing.await.context(|| "a thread of the push ended early")? {
            upload.cancel().await;
            return Err(error);
        }
        let digest = Digest::from_bytes(hash.finalize().into());
        upload.finish(&digest).await?;
        let media_type = self.form.media_type(self.is_docker)?;
        if digest == self.named.digest {
            let same_kind = Form::of_media_type(&self.named.media_type)
                .is_some_and(|form| form.media_type(self.is_docker).is_ok_and(|name| name == self.named.media_type));
            let media_type = if same_kind { self.named.media_type.clone() } else { media_type };
            return Ok(Descriptor { media_type, ..self.named.clone() });
        }
        Ok(Descriptor::new(&media_type, size, digest))
    }
}

fn make(mut packing: Packing, form: Form, read: &AtomicU64, pieces: &mpsc::Sender<Vec<u8>>) -> Result<()> {
    let input = Counted { inner: &mut packing.reader, read };
    let mut out = |piece: &[u8]| {
        pieces.blocking_send(piece.to_vec()).map_err(|_| Error::new("the connection to the registry ended"))
    };
    compress::compress(form, compress::threads(), input, &mut out)?;
    packing.finish()
}

struct Counted<'a, R> {
    inner: R,
    read: &'a AtomicU64,
}

impl<R: std::io::Read> std::io::Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
