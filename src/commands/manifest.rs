//! `rpod manifest create|add|annotate|inspect|push|remove|rm|exists`.

use super::Context;
use super::collect::collect;
use super::pull::registry_options;
use super::push;
use crate::cli::manifest::{Add, Annotate, Create, Exists, Inspect, NoteFlags, Push, Remove, Rm};
use crate::engine::images;
use crate::engine::manifests::{self, List, Notes, Source};
use crate::error::{Context as _, Error, Kind, Result};
use crate::image::digest::Digest;
use crate::image::transport::Transport;
use crate::output::progress::progress;
use crate::output::report;
use crate::registry::Options;
use crate::state::given;
use crate::storage::Store;
use crate::userns::IdMaps;

pub(crate) fn create(args: Create, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let mut list = manifests::create(&store, &args.list, &args.annotation, args.amend)?;
    let options = registry_options(&args.registry)?;
    let added = add_all(context, &store, &mut list, &args.images, args.all, &options, &Notes::default());
    if let (Err(_), false) = (&added, args.amend) {
        // Half a list is worse than none; the error that matters is the first.
        let _ = manifests::forget(&store, &list, &args.list, false);
    }
    added?;
    context.ui.line(list.digest.hex())?;
    Ok(0)
}

pub(crate) fn add(args: Add, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let mut list = manifests::get(&store, &args.list)?;
    let options = registry_options(&args.registry)?;
    add_all(context, &store, &mut list, &args.images, args.all, &options, &notes(args.notes))?;
    context.ui.line(list.digest.hex())?;
    Ok(0)
}

fn add_all(
    context: &Context<'_>,
    store: &Store,
    list: &mut List,
    names: &[String],
    all: bool,
    registry: &Options,
    notes: &Notes,
) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let maps = IdMaps::for_user()?;
    let source = Source { dirs: context.dirs()?, store, maps: &maps, registry, all };
    let progress = progress(context.ui, true);
    names.iter().try_for_each(|name| manifests::add(source, list, name, notes, &*progress))
}

fn notes(flags: NoteFlags) -> Notes {
    let NoteFlags { annotation, arch, features, os, os_features, os_version, variant } = flags;
    Notes { annotations: annotation, arch, features, os, os_features, os_version, variant }
}

pub(crate) fn annotate(args: Annotate, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let mut list = manifests::get(&store, &args.list)?;
    let digest = match (&args.image, args.index) {
        (None, true) => None,
        (Some(_), true) => return Err(Error::new("--index annotates the list itself, not an image of it")),
        (None, false) => return Err(Error::new("name an image of the list, or annotate the list with --index")),
        (Some(image), false) => Some(digest(&store, image)?),
    };
    list.annotate(&store, digest, &notes(args.notes))?;
    context.ui.line(list.digest.hex())?;
    Ok(0)
}

/// A digest, or an image that is here.
fn digest(store: &Store, text: &str) -> Result<Digest> {
    match text.parse() {
        Ok(digest) => Ok(digest),
        Err(_) => Ok(images::resolve(store, text)?.manifest),
    }
}

pub(crate) fn inspect(args: Inspect, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let name = match Transport::parse(&args.list)? {
        Some(Transport::Docker(name)) => name,
        Some(Transport::Local(local)) => return Err(Error::new(format!("{local} cannot be inspected as a list"))),
        None => match manifests::find(&store, &args.list)? {
            Some(list) => {
                context.ui.line(list.pretty()?)?;
                return Ok(0);
            }
            None => args.list.clone(),
        },
    };
    let text = images::remote_manifest(&name, &registry_options(&args.registry)?)?;
    context.ui.line(pretty(&text))?;
    Ok(0)
}

/// A document for people; what is no JSON stays as it is.
fn pretty(text: &str) -> String {
    let indented = serde_json::from_str(text).and_then(|value: serde_json::Value| serde_json::to_string_pretty(&value));
    indented.unwrap_or_else(|_| text.to_owned())
}

pub(crate) fn push(args: Push, context: &Context<'_>) -> Result<u8> {
    let options = push::options(
        args.compression_format.as_deref(),
        args.compression_level,
        args.force_compression,
        args.format.as_deref(),
        &args.registry,
    )?;
    let store = context.store()?;
    let list = manifests::get(&store, &args.list)?;
    let destination = args.destination.as_deref().unwrap_or(&list.name);
    push::can_sign(destination, args.sign_by.as_deref())?;
    let digest = push::list(context, &store, &list, destination, args.all != Some(false), args.quiet, &options)?;
    push::sign(destination, digest, args.sign_by.as_deref())?;
    if let Some(file) = &args.digestfile {
        given::write(file, digest.to_string()).context(|| format!("cannot write {}", file.display()))?;
    }
    if args.rm {
        manifests::forget(&store, &list, &list.name, false)?;
    }
    Ok(0)
}

pub(crate) fn remove(args: Remove, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let mut list = manifests::get(&store, &args.list)?;
    list.take(&store, digest(&store, &args.image)?)?;
    context.ui.line(list.digest.hex())?;
    Ok(0)
}

pub(crate) fn rm(args: Rm, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let mut code = 0;
    for name in &args.lists {
        let forgotten = known(&store, name)
            .and_then(|list| manifests::forget(&store, &list, name, true).map(|forgotten| (list, forgotten)));
        match forgotten {
            Ok((list, forgotten)) => {
                forgotten.untagged.iter().try_for_each(|name| context.ui.line(format_args!("Untagged: {name}")))?;
                if forgotten.deleted {
                    context.ui.line(format_args!("Deleted: {}", list.digest.hex()))?;
                }
            }
            Err(error) if args.ignore && error.kind() == Kind::NoSuchObject => {}
            Err(error) => {
                code = if error.kind() == Kind::NoSuchObject { 1 } else { 125 };
                report::error(context.ui, &error);
            }
        }
    }
    collect(context, &store)?;
    Ok(code)
}

/// The list of that name, which may not be that of an image.
fn known(store: &Store, name: &str) -> Result<List> {
    manifests::get(store, name).map_err(|error| match images::resolve(store, name) {
        Ok(image) if error.kind() == Kind::NoSuchObject => {
            Error::new(format!("{}: image is not a manifest list", image.name.as_deref().unwrap_or(name)))
                .hint("rpod rmi removes images")
        }
        _ => error,
    })
}

pub(crate) fn exists(args: Exists, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    Ok(u8::from(manifests::find(&store, &args.list)?.is_none()))
}
