//! What `build` gives to others: manifest lists of several platforms, registries, build caches.

use super::Context;
use super::build_options::{self, registry};
use super::build_output::Output;
use crate::build::request::CachePlace;
use crate::build::{Built, remote_cache};
use crate::cli::build::Build;
use crate::engine::images::{self, Image, Progress, PushOptions};
use crate::engine::manifests::{self, List, Notes, Source};
use crate::error::{Error, Result};
use crate::image::reference::Reference;
use crate::userns::IdMaps;

/// The names of the list that the images of this build go into: that of `--manifest`, and with several platforms those
/// that `--tag` would give one image. Empty: there is no list.
pub(super) fn list_names(args: &Build, outputs: &[Output], platforms: usize) -> Result<Vec<String>> {
    let mut names: Vec<String> = args.result.manifest.iter().cloned().collect();
    // The files of several platforms need no list.
    let files = !outputs.is_empty() && outputs.iter().all(|output| matches!(output, Output::Local(_)));
    if platforms > 1 && !(files && args.result.tag.is_empty()) {
        names.extend(args.result.tag.iter().cloned());
        names.extend(outputs.iter().flat_map(Output::names).cloned());
        if names.is_empty() {
            return Err(Error::new("images of several platforms become a manifest list, which needs a name")
                .hint("give it with --tag or --manifest"));
        }
    }
    Ok(names)
}

/// Puts the images into the list called `names`, which is made when it is not there.
pub(super) fn list(
    args: &Build,
    context: &Context<'_>,
    names: &[String],
    built: &[Built],
    progress: &dyn Progress,
) -> Result<Option<List>> {
    let Some((first, others)) = names.split_first() else {
        return match build_options::annotations(&args.result.annotation)?.of_list.is_empty() {
            true => Ok(None),
            false => Err(Error::new("--annotation index:… is for a manifest list, and there is none")
                .hint("make one with --manifest, or with several platforms")),
        };
    };
    let (dirs, store, maps) = (context.dirs()?, context.store()?, IdMaps::for_user()?);
    // A list that --tag names is this build's alone; one of --manifest is added to.
    let amend = args.result.manifest.is_some();
    if !amend && let Some(old) = manifests::by_name(&store, first)? {
        manifests::untag(&store, &old, std::slice::from_ref(first))?;
    }
    let annotations = build_options::annotations(&args.result.annotation)?.of_list;
    let mut list = manifests::create(&store, first, &annotations, amend)?;
    let registry = registry(args)?;
    let source = Source { dirs, store: &store, maps: &maps, registry: &registry, all: false };
    for image in built {
        manifests::add(source, &mut list, &image.id.hex(), &Notes::default(), progress)?;
    }
    manifests::tag(&store, &list, others)?;
    Ok(Some(list))
}

/// A list's names in full.
pub(super) fn full_names(names: &[String]) -> Result<Vec<String>> {
    names.iter().map(|name| Reference::parse_local(name).map(|name| name.store_name())).collect()
}

/// `--push`.
pub(super) fn push(
    args: &Build,
    context: &Context<'_>,
    list: Option<&(List, Vec<String>)>,
    built: &[Built],
    progress: &dyn Progress,
) -> Result<()> {
    let (store, maps) = (context.store()?, IdMaps::for_user()?);
    let options = PushOptions { registry: registry(args)?, ..PushOptions::default() };
    if let Some((list, names)) = list {
        for name in names {
            manifests::push(&store, &maps, list, &Reference::parse(name)?, true, &options, progress)?;
        }
        return Ok(());
    }
    for built in built {
        if built.names.is_empty() {
            return Err(
                Error::new("the image has no name, which would say where to push it").hint("give it with --tag")
            );
        }
        let image = Image::read(&store, built.manifest)?;
        for name in &built.names {
            images::push(&store, &maps, &image, &Reference::parse(name)?, &options, progress)?;
        }
    }
    Ok(())
}

/// `--cache-to`.
pub(super) fn cache(
    args: &Build,
    context: &Context<'_>,
    to: &[CachePlace],
    built: &[Built],
    progress: &dyn Progress,
) -> Result<()> {
    if to.is_empty() {
        return Ok(());
    }
    let options = PushOptions { registry: registry(args)?, ..PushOptions::default() };
    let of = |steps: fn(&Built) -> &remote_cache::Steps| built.iter().flat_map(|built| steps(built).clone()).collect();
    let (all, of_target) = (of(|built| &built.steps.0), of(|built| &built.steps.1));
    remote_cache::export(&context.store()?, &IdMaps::for_user()?, to, (&all, &of_target), &options, progress)
}
