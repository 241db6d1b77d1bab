//! `rpod inspect`.

use super::Context;
use crate::cli::container::Inspect;
use crate::engine::container::{inspect, store};
use crate::error::{Error, Kind, Result};
use crate::output::{json, listing};

pub(crate) fn run(args: Inspect, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    if args.names.is_empty() && !args.latest {
        return Err(Error::new("no names or ids specified"));
    }
    let mut found = Vec::new();
    let mut missing = Vec::new();
    if args.latest {
        found.push(inspect::inspect(dirs, &store::latest(dirs)?, args.size)?);
    }
    for name in &args.names {
        match store::find(dirs, name) {
            Ok(container) => found.push(inspect::inspect(dirs, &container, args.size)?),
            Err(e) if e.kind() == Kind::NoSuchObject => missing.push(name),
            Err(e) => return Err(e),
        }
    }
    let compact: String = args.format.chars().filter(|c| !c.is_whitespace()).collect();
    match compact.as_str() {
        "json" => json::pretty(context.ui, &found)?,
        _ => {
            for object in &found {
                listing::object(context.ui, "inspect", &args.format, object, false)?;
            }
        }
    }
    match missing.as_slice() {
        [] => Ok(0),
        [name, ..] => Err(Error::new(format!("no such object: {name:?}")).with_kind(Kind::NoSuchObject)),
    }
}
