//! `rpod inspect`, `rpod container inspect`.

use serde::Serialize;

use super::Context;
use crate::cli::container::{Inspect, InspectContainer};
use crate::engine::container::inspect::{self, Inspected};
use crate::engine::container::store;
use crate::engine::images::{self, Inspection};
use crate::error::{Error, Kind, Result};
use crate::output::{json, listing, report};

/// Something that has the name.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Object {
    Container(Box<Inspected>),
    Image(Box<Inspection>),
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InspectedKind {
    All,
    Container,
    Image,
}

pub(crate) fn run(args: Inspect, context: &Context<'_>) -> Result<u8> {
    let kind = match args.kind.as_str() {
        "all" => InspectedKind::All,
        "container" => InspectedKind::Container,
        "image" => InspectedKind::Image,
        other => {
            return Err(Error::new(format!("invalid type {other:?}: must be \"image\", \"container\", or \"all\"")));
        }
    };
    inspect(&args.options, kind, context)
}

pub(crate) fn container(args: InspectContainer, context: &Context<'_>) -> Result<u8> {
    inspect(&args, InspectedKind::Container, context)
}

fn inspect(args: &InspectContainer, kind: InspectedKind, context: &Context<'_>) -> Result<u8> {
    if args.names.is_empty() && !args.latest {
        return Err(Error::new("no names or ids specified"));
    }
    for (flag, given) in [("size", args.size), ("latest", args.latest)] {
        if given && kind == InspectedKind::Image {
            return Err(Error::new(format!("{flag} is not supported for type image")));
        }
    }
    let dirs = context.dirs()?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    if args.latest {
        found.push(Object::Container(Box::new(inspect::inspect(dirs, &store::latest(dirs)?, args.size)?)));
    }
    for name in &args.names {
        match find(name, args.size, kind, context) {
            Ok(object) => found.push(object),
            Err(e) if e.kind() == Kind::NoSuchObject => missing.push(no_such(name, kind)),
            Err(e) => return Err(e),
        }
    }
    let compact: String = args.format.chars().filter(|c| !c.is_whitespace()).collect();
    match compact.as_str() {
        "json" => json::pretty(context.ui, &found)?,
        _ => {
            for object in &found {
                // Podman's images take their fields in any case, its containers do not.
                let any_case = matches!(object, Object::Image(_));
                listing::object(context.ui, "inspect", &args.format, object, any_case)?;
            }
        }
    }
    let last = missing.pop();
    missing.iter().for_each(|error| report::error(context.ui, error));
    last.map_or(Ok(0), Err)
}

/// The container of that name, or else the image.
fn find(name: &str, size: bool, kind: InspectedKind, context: &Context<'_>) -> Result<Object> {
    let dirs = context.dirs()?;
    if kind != InspectedKind::Image {
        match store::find(dirs, name) {
            Ok(container) => return Ok(Object::Container(Box::new(inspect::inspect(dirs, &container, size)?))),
            Err(e) if e.kind() == Kind::NoSuchObject && kind == InspectedKind::All => {}
            Err(e) => return Err(e),
        }
    }
    let store = context.store()?;
    let image = images::resolve(&store, name)?;
    Ok(Object::Image(Box::new(images::inspect(&store, &image)?)))
}

/// In Podman's words, which differ.
fn no_such(name: &str, kind: InspectedKind) -> Error {
    let what = match kind {
        InspectedKind::All => format!("no such object: {name:?}"),
        InspectedKind::Container => format!("no such container {name}"),
        InspectedKind::Image => format!("{name}: image not known"),
    };
    Error::new(what).with_kind(Kind::NoSuchObject)
}
