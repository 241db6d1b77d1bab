//! `rpod inspect`, `rpod container inspect`: containers, images, volumes and networks.

use serde::Serialize;
use serde_json::Value;

use super::{Context, volume};
use crate::cli::container::{Inspect, InspectContainer};
use crate::engine::container::inspect::{self, Inspected};
use crate::engine::container::store;
use crate::engine::images::{self, Inspection};
use crate::engine::{network, volumes};
use crate::error::{Error, Kind, Result};
use crate::output::template::types::Type;
use crate::output::{json, listing, podman_types, report};

/// Something that has the name.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Object {
    Container(Box<Inspected>),
    Image(Box<Inspection>),
    Volume(Value),
    Network(Box<network::inspect::Inspected>),
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InspectedKind {
    All,
    Container,
    Image,
    Volume,
    Network,
    Pod,
}

impl InspectedKind {
    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Pod => "pod",
        }
    }
}

pub(crate) fn run(args: Inspect, context: &Context<'_>) -> Result<u8> {
    let kind = match args.kind.as_str() {
        "all" => InspectedKind::All,
        "container" => InspectedKind::Container,
        "image" => InspectedKind::Image,
        "volume" => InspectedKind::Volume,
        "network" => InspectedKind::Network,
        "pod" => InspectedKind::Pod,
        other => {
            return Err(Error::new(format!(
                "invalid type {other:?}: must be \"image\", \"container\", \"pod\", \"network\", \"volume\", or \"all\""
            )));
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
        if given && !matches!(kind, InspectedKind::All | InspectedKind::Container) {
            return Err(Error::new(format!("{flag} is not supported for type {:?}", kind.name())));
        }
    }
    if args.latest && !args.names.is_empty() {
        return Err(Error::new("--latest and arguments cannot be used together"));
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
                match object {
                    // Podman's templates have the names of its Go fields, its JSON those of the file.
                    Object::Network(network) => {
                        listing::object(context.ui, "inspect", &args.format, &network.fields(), false)?;
                    }
                    object => {
                        let of = match object {
                            Object::Container(_) => &podman_types::CONTAINER,
                            Object::Image(_) => &podman_types::IMAGE,
                            Object::Volume(_) => &podman_types::VOLUME,
                            _ => &Type::Any,
                        };
                        listing::typed_object(context.ui, "inspect", &args.format, object, any_case, of)?;
                    }
                }
            }
        }
    }
    let last = missing.pop();
    missing.iter().for_each(|error| report::error(context.ui, error));
    last.map_or(Ok(0), Err)
}

/// What has the name: a container, or else an image, a volume, a network, in Podman's order.
fn find(name: &str, size: bool, kind: InspectedKind, context: &Context<'_>) -> Result<Object> {
    let orders: &[InspectedKind] = match &kind {
        InspectedKind::All => {
            &[InspectedKind::Container, InspectedKind::Image, InspectedKind::Volume, InspectedKind::Network]
        }
        one => std::slice::from_ref(one),
    };
    let mut missing = None;
    for kind in orders {
        match find_one(name, size, *kind, context) {
            Err(e) if e.kind() == Kind::NoSuchObject => missing = Some(e),
            result => return result,
        }
    }
    Err(missing.unwrap_or_else(|| no_such(name, kind)))
}

fn find_one(name: &str, size: bool, kind: InspectedKind, context: &Context<'_>) -> Result<Object> {
    let dirs = context.dirs()?;
    match kind {
        InspectedKind::Container => {
            let container = store::find(dirs, name)?;
            Ok(Object::Container(Box::new(inspect::inspect(dirs, &container, size)?)))
        }
        InspectedKind::Image => {
            let store = context.store()?;
            Ok(Object::Image(Box::new(images::inspect(&store, &images::resolve(&store, name)?)?)))
        }
        InspectedKind::Volume => {
            let volume = volumes::find(dirs, name)?;
            Ok(Object::Volume(volume::inspected(dirs, &volume, &volumes::users(dirs)?)?))
        }
        InspectedKind::Network => {
            let network = network::store::find(dirs, name)?;
            Ok(Object::Network(Box::new(network::inspect::inspect(dirs, network)?)))
        }
        // Of pods there are none yet.
        InspectedKind::Pod | InspectedKind::All => Err(no_such(name, kind)),
    }
}

/// In Podman's words, which differ.
fn no_such(name: &str, kind: InspectedKind) -> Error {
    let what = match kind {
        InspectedKind::All => format!("no such object: {name:?}"),
        InspectedKind::Container => format!("no such container {name}"),
        InspectedKind::Image => format!("{name}: image not known"),
        InspectedKind::Volume => format!("no such volume {name}"),
        InspectedKind::Network => {
            format!("network {name}: unable to find network with name or ID {name}: network not found")
        }
        InspectedKind::Pod => format!("no such pod {name}"),
    };
    Error::new(what).with_kind(Kind::NoSuchObject)
}
