//! `rpod history`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use crate::cli::image::History;
use crate::engine::images::{self, HistoryEntry};
use crate::error::Result;
use crate::human;
use crate::output::listing::{Column, Listing};
use crate::state::id::short;

const COLUMNS: &[Column] = &[
    Column("ID", "ID"),
    Column("Created", "CREATED"),
    Column("CreatedBy", "CREATED BY"),
    Column("Size", "SIZE"),
    Column("Comment", "COMMENT"),
];
/// What fits of a command.
const WIDTH: usize = 45;

pub(crate) fn run(args: History, context: &Context<'_>) -> Result<u8> {
    images::check_name(&args.image)?;
    let store = context.store()?;
    let entries = images::history(&store, &images::resolve(&store, &args.image)?)?;
    let human = args.human.unwrap_or(true);
    let now = Timestamp::now();
    let rows: Vec<Value> = entries.iter().map(|entry| row(entry, args.no_trunc, human, now)).collect();
    let listing = Listing {
        name: "history",
        columns: COLUMNS,
        other_headings: &[],
        format: args.format.as_deref(),
        noheading: args.noheading,
        quiet: args.quiet.then_some("ID"),
    };
    listing.print(context.ui, &rows, || Ok(Value::Array(entries.iter().map(machine).collect())))?;
    Ok(0)
}

fn row(entry: &HistoryEntry, no_trunc: bool, human: bool, now: Timestamp) -> Value {
    let id = entry.id.as_deref().map_or("<missing>", |id| if no_trunc { id } else { short(id) });
    let created: Option<Timestamp> = entry.created.as_deref().and_then(|text| text.parse().ok());
    let at = created.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default();
    let since = created.map(|time| human::ago(time, now)).unwrap_or_default();
    let command = match no_trunc || entry.created_by.chars().count() <= WIDTH {
        true => entry.created_by.clone(),
        false => entry.created_by.chars().take(WIDTH - 3).chain("...".chars()).collect(),
    };
    json!({
        "ID": id,
        "Created": if human { &since } else { &at },
        "CreatedSince": since,
        "CreatedAt": at,
        "CreatedBy": command,
        "Size": if human { human::size_spaced(entry.size).replace(' ', "") } else { entry.size.to_string() },
        "Comment": entry.comment,
        "Tags": entry.tags,
    })
}

fn machine(entry: &HistoryEntry) -> Value {
    json!({
        "id": entry.id.as_deref().unwrap_or("<missing>"),
        "created": entry.created,
        "Created": entry.created,
        "CreatedBy": entry.created_by,
        "tags": entry.tags,
        "size": entry.size,
        "comment": entry.comment,
    })
}
