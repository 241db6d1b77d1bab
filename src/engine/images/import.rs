//! `import`: the tar of a root file system → an image of one layer.

use std::io::{Read, Write};
use std::path::PathBuf;

use super::{Progress, keep_nameless, name_image, skipped, tag, verify};
use crate::config::policy::Policy;
use crate::error::{Context, Error, Result};
use crate::image::config::{History, ImageConfig, RootFs, Settings};
use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use crate::image::platform::Platform;
use crate::state::lock::Mode;
use crate::storage::worker::{UnpackJob, UnpackWorker};
use crate::storage::{Limits, Store};
use crate::userns::IdMaps;

const CHUNK: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct ImportOptions {
    /// What the image is called; a short name belongs to `localhost`.
    pub name: Option<String>,
    pub settings: Settings,
    pub message: String,
    pub platform: Platform,
    /// `--signature-policy`: instead of policy.json.
    pub signature_policy: Option<PathBuf>,
}

/// Imports what `input` gives, compressed or not; answers the image's id. Must be called while the process has one thread.
pub(crate) fn import(
    store: &Store,
    maps: &IdMaps,
    mut input: impl Read,
    options: ImportOptions,
    progress: &dyn Progress,
) -> Result<Digest> {
    let name = options.name.as_deref().map(tag::new_name).transpose()?;
    verify::tarball(Policy::load(options.signature_policy.as_deref())?.as_ref())?;
    let _guard = store.gc_lock(Mode::Shared)?;
    let worker = UnpackWorker::start(store, maps)?;
    let (mut pipe, pending) = worker.unpack(UnpackJob { expected: None, source: None, limits: Limits::from_env()? })?;
    let copied = copy(&mut input, &mut pipe);
    drop(pipe);
    let finished = pending.finish(copied.is_ok());
    let layer = match (copied, finished) {
        // The worker knows why it stopped reading.
        (Ok(()) | Err(_), Err(error)) => return Err(Error::wrap("cannot import the root file system", error)),
        (Err(error), Ok(_)) => return Err(error),
        (Ok(()), Ok(layer)) => layer,
    };
    skipped::warn(store, &[layer.diff_id], maps, progress)?;
    progress.message(&format!("Copying blob {}", layer.diff_id));
    let config = config(layer.diff_id, options);
    let config_bytes = config.to_bytes()?;
    let id = store.put_blob(&config_bytes)?;
    progress.message(&format!("Copying config {id}"));
    let layers = vec![Descriptor::new(OCI_LAYER, layer.size, layer.diff_id)];
    let manifest = Manifest::new(OCI_MANIFEST, Descriptor::of(OCI_CONFIG, &config_bytes), layers).to_bytes()?;
    let manifest = store.put_blob(&manifest)?;
    match name {
        Some(name) => name_image(store, &name, &manifest)?,
        None => keep_nameless(store, &manifest)?,
    }
    Ok(id)
}

fn config(layer: Digest, options: ImportOptions) -> ImageConfig {
    let now = jiff::Timestamp::now().to_string();
    let message = if options.message.is_empty() { "imported from tarball".to_owned() } else { options.message };
    let step = History {
        created: Some(now.clone()),
        created_by: format!("/bin/sh -c #(nop) ADD file:{} in /", layer.hex()),
        comment: message,
        ..History::default()
    };
    ImageConfig {
        created: Some(now),
        architecture: options.platform.architecture,
        os: options.platform.os,
        variant: options.platform.variant,
        config: options.settings,
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![layer] },
        history: vec![step],
        ..ImageConfig::default()
    }
}

fn copy(input: &mut impl Read, pipe: &mut impl Write) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                pipe.write_all(&buffer[..read]).context(|| "cannot hand the root file system to the unpacker")?
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::wrap("cannot read the archive", e)),
        }
    }
}
