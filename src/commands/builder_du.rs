//! `rpod builder du`: the steps that builds keep for the next one, the newest first.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use crate::cli::build::Du;
use crate::engine::system::df;
use crate::error::Result;
use crate::human;
use crate::output::listing::{Column, Listing};

const COLUMNS: &[Column] = &[
    Column("ID", "ID"),
    Column("Reclaimable", "RECLAIMABLE"),
    Column("Size", "SIZE"),
    Column("CreatedSince", "CREATED"),
];

pub(crate) fn run(args: Du, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let cache = df::usage(context.dirs()?, &store)?.cache;
    let now = Timestamp::now();
    let mut steps = store.build_steps_by_age()?;
    steps.reverse();
    let row = |(made, key, step): &(Timestamp, crate::image::digest::Digest, crate::storage::BuildStep)| {
        // A layer that an image has is not freed with the step.
        let size = step.layer.and_then(|layer| cache.layers.get(&layer)).copied().unwrap_or(0);
        let id = key.hex();
        json!({
            "ID": if args.verbose { &id } else { crate::state::id::short(&id) },
            "Reclaimable": true,
            "Shared": step.layer.is_some_and(|layer| !cache.layers.contains_key(&layer)),
            "Size": human::size(size),
            "RawSize": size,
            "CreatedAt": made.to_string(),
            "CreatedSince": human::ago(*made, now),
        })
    };
    let rows: Vec<Value> = steps.iter().map(row).collect();
    let listing = Listing {
        name: "builder du",
        columns: COLUMNS,
        other_headings: &[],
        format: args.format.as_deref(),
        noheading: false,
        quiet: None,
    };
    listing.print(context.ui, &rows, || Ok(Value::Array(rows.clone())))?;
    if args.format.is_none() {
        context.ui.line(format_args!("Reclaimable:\t{}", human::size(cache.size)))?;
        context.ui.line(format_args!("Total:\t\t{}", human::size(cache.size)))?;
    }
    Ok(0)
}
