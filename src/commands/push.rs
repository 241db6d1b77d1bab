//! `rpod push`.

use std::path::Path;

use super::Context;
use super::pull::registry_options;
use crate::cli::image::RegistryFlags;
use crate::cli::registry::Push;
use crate::engine::events;
use crate::engine::images::{self, Image, ManifestFormat, PushOptions};
use crate::engine::manifests::{self, List};
use crate::error::{Context as _, Error, Result};
use crate::image::compress::Form;
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::image::transport::{self, Transport};
use crate::output::progress::progress;
use crate::state::given;
use crate::storage::Store;
use crate::userns::IdMaps;

pub(crate) fn run(args: Push, context: &Context<'_>) -> Result<u8> {
    let options = options(
        args.compression_format.as_deref(),
        args.compression_level,
        args.force_compression,
        args.format.as_deref(),
        &args.registry,
    )?;
    images::check_name(&args.image)?;
    let store = context.store()?;
    if args.all
        && !images::is_image_name(&store, &args.image)?
        && let Some(found) = manifests::find(&store, &args.image)?
    {
        let destination = args.destination.as_deref().unwrap_or(&found.name);
        can_sign(destination, args.sign_by.as_deref())?;
        let digest = list(context, &store, &found, destination, true, args.quiet, &options)?;
        sign(destination, digest, args.sign_by.as_deref())?;
        return write_digest(args.digestfile.as_deref(), digest);
    }
    // Without --all a list stands for its image for this machine, as in Podman.
    let image = images::resolve(&store, &args.image)?;
    let destination = match (&args.destination, &image.name) {
        (Some(text), _) => Transport::parse(text)?.unwrap_or_else(|| Transport::Docker(text.clone())),
        (None, Some(name)) => Transport::Docker(name.clone()),
        (None, None) => {
            return Err(Error::new(format!("{} is an id: it does not say where to push the image", args.image))
                .hint("name the destination as well, or push the image by its name"));
        }
    };
    if args.compress && !matches!(&destination, Transport::Local(local) if local.kind == transport::Kind::Dir) {
        return Err(Error::new("--compress is for dir: destinations; elsewhere layers are compressed anyway"));
    }
    if args.sign_by.is_some() && matches!(&destination, Transport::Local(_)) {
        return Err(unsigned());
    }
    let maps = IdMaps::for_user()?;
    let progress = progress(context.ui, args.quiet);
    let digest = match destination {
        Transport::Docker(name) => {
            can_sign(&name, args.sign_by.as_deref())?;
            let digest = images::push(&store, &maps, &image, &Reference::parse(&name)?, &options, &*progress)?;
            sign(&name, digest, args.sign_by.as_deref())?;
            digest
        }
        Transport::Local(local) => {
            images::push_local(&store, &maps, &image, &local, args.compress, &options, &*progress)?
        }
    };
    drop(progress);
    events::image(context.dirs()?, "push", &image.id.hex(), args.destination.as_ref().unwrap_or(&args.image));
    write_digest(args.digestfile.as_deref(), digest)
}

/// Signs what was pushed, when `--sign-by` says so.
pub(super) fn sign(destination: &str, digest: Digest, key: Option<&str>) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    images::sign_pushed(&named(destination)?, digest, key)
}

/// Refuses to push what could not be signed.
pub(super) fn can_sign(destination: &str, key: Option<&str>) -> Result<()> {
    key.map_or(Ok(()), |key| images::can_sign(&named(destination)?, key))
}

fn named(destination: &str) -> Result<Reference> {
    match Transport::parse(destination)? {
        Some(Transport::Local(_)) => Err(unsigned()),
        Some(Transport::Docker(name)) => Reference::parse(&name),
        None => Reference::parse(destination),
    }
}

fn unsigned() -> Error {
    Error::new("only what is pushed to a registry can be signed")
}

fn write_digest(file: Option<&Path>, digest: Digest) -> Result<u8> {
    if let Some(file) = file {
        given::write(file, digest.to_string()).context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(0)
}

/// Pushes a manifest list to a registry, a directory or an archive.
pub(super) fn list(
    context: &Context<'_>,
    store: &Store,
    list: &List,
    destination: &str,
    all: bool,
    quiet: bool,
    options: &PushOptions,
) -> Result<Digest> {
    let maps = IdMaps::for_user()?;
    let progress = progress(context.ui, quiet);
    let name = match Transport::parse(destination)? {
        Some(Transport::Docker(name)) => name,
        Some(Transport::Local(local)) if all => {
            return manifests::push_local(store, &maps, list, &local, options, &*progress);
        }
        // Elsewhere there is nothing yet that the list alone could name: it stands for its image for this machine.
        Some(Transport::Local(local)) => {
            let image = Image::read(store, list.own_manifest()?)?;
            return images::push_local(store, &maps, &image, &local, false, options, &*progress);
        }
        None => destination.to_owned(),
    };
    manifests::push(store, &maps, list, &Reference::parse(&name)?, all, options, &*progress)
}

/// What the flags about compression and format mean.
pub(super) fn options(
    form: Option<&str>,
    level: Option<i32>,
    force_compression: Option<bool>,
    format: Option<&str>,
    registry: &RegistryFlags,
) -> Result<PushOptions> {
    let exact_level = level.is_some();
    let form = match (form, level) {
        (Some(name), level) => Some(Form::parse(name, level)?),
        (None, Some(level)) => Some(Form::parse("gzip", Some(level))?),
        (None, None) => None,
    };
    let format = match format {
        None | Some("") => None,
        Some("oci") => Some(ManifestFormat::Oci),
        Some("v2s2" | "docker") => Some(ManifestFormat::Docker),
        Some("v2s1") => {
            return Err(Error::new(
                "manifests of Docker's schema 1 are not written: registries refuse them since 2024",
            ));
        }
        Some(other) => return Err(Error::new(format!("unknown format {other:?}")).hint("choose from: oci, v2s2")),
    };
    Ok(PushOptions { form, exact_level, force_compression, format, registry: registry_options(registry)? })
}
