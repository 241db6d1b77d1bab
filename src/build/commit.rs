//! The finished stage becomes an image of the store.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use super::lint::Remark;
use super::remote_cache::Steps;
use super::request::{Format, Request, Squash};
use super::settings;
use super::stage::Build;
use super::state::State;
use crate::engine::images::{self, keep_nameless, name_image};
use crate::error::{Context, Error, Result};
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::{
    DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};
use crate::image::reference::Reference;
use crate::storage::worker::{UnpackJob, UnpackWorker};
use crate::storage::{Limits, diff};
use crate::userns::enter;

/// What a build gives.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// The config's digest.
    pub id: Digest,
    pub manifest: Digest,
    /// In full.
    pub names: Vec<String>,
    /// Of all stages, and of the target.
    pub steps: (Steps, Steps),
    /// What is probably not meant in the Dockerfile.
    pub remarks: Vec<Remark>,
}

/// The names that the image will have.
pub(crate) fn names(request: &Request) -> Result<Vec<Reference>> {
    request.tags.iter().map(|tag| images::new_name(tag)).collect()
}

/// Puts the image together.
pub(crate) fn commit(build: &Build<'_>, mut state: State, steps: Steps, names: &[Reference]) -> Result<Built> {
    let request = build.request;
    finish(&mut state, request);
    if request.squash != Squash::No {
        squash(build, &mut state)?;
    }
    let store = build.store;
    let mut config = state.config;
    config.rootfs.kind = "layers".to_owned();
    config.rootfs.diff_ids.clone_from(&state.layers);
    if request.omit_history {
        config.history.clear();
    }
    if request.timestamp.is_some() || config.created.is_none() {
        config.created = Some(build.now.to_string());
    }
    let (config_type, layer_type, manifest_type) = match request.format {
        Format::Oci => (OCI_CONFIG, OCI_LAYER, OCI_MANIFEST),
        Format::Docker => (DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST),
    };
    let bytes = config.to_bytes()?;
    let id = store.put_blob(&bytes)?;
    let descriptor = |layer: &DiffId| -> Result<Descriptor> {
        let found = store.layer(layer).ok_or_else(|| Error::new(format!("the layer {layer} is not in the store")))?;
        Ok(Descriptor::new(layer_type, found.meta()?.size, *layer))
    };
    let layers = state.layers.iter().map(descriptor).collect::<Result<Vec<_>>>()?;
    let mut manifest = Manifest::new(manifest_type, Descriptor::of(config_type, &bytes), layers);
    manifest.annotations = annotations(request, state.base.as_ref());
    let manifest = store.put_blob(&manifest.to_bytes()?)?;
    match names {
        [] => keep_nameless(store, &manifest)?,
        names => names.iter().try_for_each(|name| name_image(store, name, &manifest))?,
    }
    Ok(Built {
        id,
        manifest,
        steps: (steps, state.steps),
        names: names.iter().map(Reference::store_name).collect(),
        remarks: Vec::new(),
    })
}

/// `--label`, `--env` and the like: after the last instruction.
fn finish(state: &mut State, request: &Request) {
    let settings = &mut state.config.config;
    for (name, value) in &request.labels {
        settings.labels.insert(name.clone(), value.clone());
    }
    let kept = |(name, value): (&String, &String)| {
        (!request.unset_labels.iter().any(|gone| gone == name)).then(|| (name.to_owned(), value.clone()))
    };
    settings.labels = settings.labels.iter().filter_map(kept).collect();
    for (name, value) in &request.environment {
        settings::set_env(&mut settings.env, name, value);
    }
    settings.env.retain(|variable| {
        !request.unset_environment.iter().any(|gone| variable.split('=').next() == Some(gone.as_str()))
    });
}

/// The base image's name and digest, as Buildah notes them, and `--annotation`.
fn annotations(
    request: &Request,
    base: Option<&(String, Digest)>,
) -> Option<serde_json::Map<String, serde_json::Value>> {
    if request.format == Format::Docker {
        return None;
    }
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    if let Some((name, digest)) = base {
        all.insert("org.opencontainers.image.base.name".to_owned(), name.clone());
        all.insert("org.opencontainers.image.base.digest".to_owned(), digest.to_string());
    }
    all.extend(request.annotations.clone());
    (!all.is_empty()).then(|| all.into_iter().map(|(name, value)| (name, value.into())).collect())
}

/// Several layers become one.
fn squash(build: &Build<'_>, state: &mut State) -> Result<()> {
    let keep = if build.request.squash == Squash::All { 0 } else { state.base_layers };
    if state.layers.len() > keep + 1 || build.request.squash == Squash::All && state.layers.len() > 1 {
        let directories = |layers: &[DiffId]| -> Result<Vec<std::path::PathBuf>> {
            Ok(build.store.layers(layers)?.iter().rev().map(crate::storage::Layer::diff).collect())
        };
        let (new, old) = (directories(&state.layers)?, directories(&state.layers[..keep])?);
        let worker = UnpackWorker::start(build.store, build.maps)?;
        let (mut pipe, pending) =
            worker.unpack(UnpackJob { expected: None, source: None, limits: Limits::from_env()? })?;
        let written = write_tar(build, &new, &old, &mut pipe);
        drop(pipe);
        let finished = pending.finish(written.is_ok());
        written?;
        state.layers.truncate(keep);
        state.layers.push(finished.context(|| "cannot make one layer of several")?.diff_id);
    }
    squash_history(state, keep);
    Ok(())
}

/// The history keeps its lines; all but the last of the steps that made files are without a layer of their own now.
fn squash_history(state: &mut State, keep: usize) {
    let made = state.layers.len();
    let mut seen = 0;
    let total = state.config.history.iter().filter(|step| !step.empty_layer).count();
    for step in state.config.history.iter_mut().filter(|step| !step.empty_layer) {
        seen += 1;
        step.empty_layer = seen > keep && !(seen == total && made > keep);
    }
}

/// In a process that may read every file.
fn write_tar(
    build: &Build<'_>,
    new: &[std::path::PathBuf],
    old: &[std::path::PathBuf],
    output: &mut impl Write,
) -> Result<()> {
    let failed = || "cannot read the layers";
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context(failed)?;
    let timestamp = build.request.timestamp.filter(|_| build.request.rewrite_timestamp);
    let child = enter::spawn(build.maps, || {
        let written = diff::archive_between(new, old, std::fs::File::from(writer), timestamp);
        u8::from(written.is_err())
    })?;
    let mut reader = std::fs::File::from(reader);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer).context(failed)? {
            0 => break,
            read => output.write_all(&buffer[..read]).context(failed)?,
        }
    }
    match child.wait().context(failed)? {
        0 => Ok(()),
        code => Err(Error::new(format!("{}: the process ended with code {code}", failed()))),
    }
}
