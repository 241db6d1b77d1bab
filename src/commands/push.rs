//! `rpod push`.

use super::Context;
use super::pull::registry_options;
use crate::cli::registry::Push;
use crate::engine::events;
use crate::engine::images::{self, ManifestFormat, PushOptions};
use crate::error::{Context as _, Error, Result};
use crate::image::compress::Form;
use crate::image::reference::Reference;
use crate::image::transport::{Kind, Transport};
use crate::output::progress::progress;
use crate::userns::IdMaps;

pub(crate) fn run(args: Push, context: &Context<'_>) -> Result<u8> {
    let options = options(&args)?;
    let store = context.store()?;
    let image = images::resolve(&store, &args.image)?;
    let destination = match (&args.destination, &image.name) {
        (Some(text), _) => Transport::parse(text)?.unwrap_or_else(|| Transport::Docker(text.clone())),
        (None, Some(name)) => Transport::Docker(name.clone()),
        (None, None) => {
            return Err(Error::new(format!("{} is an id: it does not say where to push the image", args.image))
                .hint("name the destination as well, or push the image by its name"));
        }
    };
    if args.compress && !matches!(&destination, Transport::Local(local) if local.kind == Kind::Dir) {
        return Err(Error::new("--compress is for dir: destinations; elsewhere layers are compressed anyway"));
    }
    let maps = IdMaps::for_user()?;
    let progress = progress(context.ui, args.quiet);
    let digest = match destination {
        Transport::Docker(name) => {
            images::push(&store, &maps, &image, &Reference::parse(&name)?, &options, &*progress)?
        }
        Transport::Local(local) => {
            images::push_local(&store, &maps, &image, &local, args.compress, &options, &*progress)?
        }
    };
    drop(progress);
    events::image(context.dirs()?, "push", &image.id.hex(), args.destination.as_ref().unwrap_or(&args.image));
    if let Some(file) = &args.digestfile {
        std::fs::write(file, digest.to_string()).context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(0)
}

fn options(args: &Push) -> Result<PushOptions> {
    let form = match (&args.compression_format, args.compression_level) {
        (Some(name), level) => Some(Form::parse(name, level)?),
        (None, Some(level)) => Some(Form::parse("gzip", Some(level))?),
        (None, None) => None,
    };
    let format = match args.format.as_deref() {
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
    Ok(PushOptions {
        form,
        exact_level: args.compression_level.is_some(),
        force_compression: args.force_compression,
        format,
        registry: registry_options(&args.registry)?,
    })
}
