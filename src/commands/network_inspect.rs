//! `rpod network inspect`.

use super::Context;
use crate::cli::network::Inspect;
use crate::engine::network::{inspect, store};
use crate::error::{Error, Kind, Result};
use crate::output::{json, listing, report};

pub(crate) fn run(args: Inspect, context: &Context<'_>) -> Result<u8> {
    if args.networks.is_empty() {
        return Err(Error::new("requires at least 1 arg(s), only received 0"));
    }
    let dirs = context.dirs()?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in &args.networks {
        match store::find(dirs, name) {
            Ok(network) => found.push(inspect::inspect(dirs, network)?),
            Err(e) if e.kind() == Kind::NoSuchObject => missing.push(Error::wrap(format!("network {name}"), e)),
            Err(e) => return Err(e),
        }
    }
    let compact: String = args.format.chars().filter(|c| !c.is_whitespace()).collect();
    match compact.as_str() {
        "json" => json::pretty(context.ui, &found)?,
        _ => found.iter().try_for_each(|network| {
            // Podman's templates have the names of its Go fields, its JSON those of the file.
            listing::object(context.ui, "network inspect", &args.format, &network.fields(), false)
        })?,
    }
    let last = missing.pop();
    missing.iter().for_each(|error| report::error(context.ui, error));
    last.map_or(Ok(0), Err)
}
