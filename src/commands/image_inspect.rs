//! `rpod image inspect`.

use super::Context;
use crate::cli::image::Inspect;
use crate::engine::images;
use crate::error::{Kind, Result};
use crate::output::{json, listing, podman_types, report};

pub(crate) fn run(args: Inspect, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in &args.images {
        match images::resolve(&store, name).and_then(|image| images::inspect(&store, &image)) {
            Ok(inspection) => found.push(inspection),
            Err(error) if error.kind() == Kind::NoSuchObject => {
                missing.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    match args.format.as_deref().filter(|format| *format != "json") {
        None => json::pretty(context.ui, &found)?,
        Some(format) => found.iter().try_for_each(|inspection| {
            listing::typed_object(context.ui, "image inspect", format, inspection, true, &podman_types::IMAGE)
        })?,
    }
    let last = missing.pop();
    missing.iter().for_each(|error| report::error(context.ui, error));
    last.map_or(Ok(0), Err)
}
