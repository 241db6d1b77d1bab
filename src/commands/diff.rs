//! `rpod diff`, `rpod container diff`, `rpod image diff`.

use serde::Serialize;

use super::Context;
use crate::cli::files::{Diff, DiffContainer, DiffImage};
use crate::engine::container::files::changes::{self, Object};
use crate::engine::container::store as containers;
use crate::engine::images;
use crate::error::{Error, Kind, Result};
use crate::output::{escape, json};
use crate::storage::Store;
use crate::storage::diff::{Change, ChangeKind};

pub(crate) fn run(args: Diff, context: &Context<'_>) -> Result<u8> {
    diff(&args.names, args.latest, args.format.as_deref(), context, &|name, store| match containers::find(
        context.dirs()?,
        name,
    ) {
        Ok(container) => Ok(Object::Container(Box::new(container))),
        Err(e) if e.kind() == Kind::NoSuchObject => match images::resolve(store, name) {
            Ok(image) => Ok(Object::Image(Box::new(image))),
            Err(e) if e.kind() == Kind::NoSuchObject => {
                Err(Error::new(format!("{name} not found: no such container or image")).with_kind(Kind::NoSuchObject))
            }
            Err(e) => Err(e),
        },
        Err(e) => Err(e),
    })
}

pub(crate) fn container(args: DiffContainer, context: &Context<'_>) -> Result<u8> {
    diff(&args.names, args.latest, args.format.as_deref(), context, &|name, _| {
        Ok(Object::Container(Box::new(containers::find(context.dirs()?, name)?)))
    })
}

pub(crate) fn image(args: DiffImage, context: &Context<'_>) -> Result<u8> {
    diff(&args.names, false, args.format.as_deref(), context, &|name, store| {
        Ok(Object::Image(Box::new(images::resolve(store, name)?)))
    })
}

fn diff(
    names: &[String],
    latest: bool,
    format: Option<&str>,
    context: &Context<'_>,
    find: &dyn Fn(&str, &Store) -> Result<Object>,
) -> Result<u8> {
    if latest && !names.is_empty() {
        return Err(Error::new("--latest and containers cannot be used together"));
    }
    let store = context.store()?;
    let mut objects = Vec::new();
    if latest {
        objects.push(Object::Container(Box::new(containers::latest(context.dirs()?)?)));
    }
    for name in names {
        objects.push(find(name, &store)?);
    }
    let changes = match &objects[..] {
        [] => return Err(Error::new("container or image name must be provided, or --latest")),
        [one] => changes::of(&store, one)?,
        [new, old] => changes::between(&store, new, old)?,
        _ => return Err(Error::new("no more than two containers or images can be compared")),
    };
    match format {
        Some("json") => json::pretty(context.ui, &Sorted::of(&changes))?,
        _ => changes.iter().try_for_each(|Change { kind, path }| {
            let letter = match kind {
                ChangeKind::Changed => 'C',
                ChangeKind::Added => 'A',
                ChangeKind::Deleted => 'D',
            };
            context.ui.line(format_args!("{letter} {}", escape::line(path)))
        })?,
    }
    Ok(0)
}

/// As Podman's JSON has it.
#[derive(Serialize)]
struct Sorted<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    added: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted: Vec<&'a str>,
}

impl<'a> Sorted<'a> {
    fn of(changes: &'a [Change]) -> Self {
        let paths = |kind| changes.iter().filter(|change| change.kind == kind).map(|change| &change.path[..]).collect();
        Self {
            changed: paths(ChangeKind::Changed),
            added: paths(ChangeKind::Added),
            deleted: paths(ChangeKind::Deleted),
        }
    }
}
