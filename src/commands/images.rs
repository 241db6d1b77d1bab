//! `rpod images`, `rpod image ls`.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use crate::cli::image::Images;
use crate::engine::container::store;
use crate::engine::images::{self, Filter, Listed};
use crate::error::Result;
use crate::human;
use crate::image::digest::Digest;
use crate::output::listing::{Column, Listing};
use crate::state::id::short;
use crate::state::paths::Dirs;
use crate::storage::Store;

const NONE: &str = "<none>";

const COLUMNS: &[Column] = &[
    Column("Repository", "REPOSITORY"),
    Column("Tag", "TAG"),
    Column("ID", "IMAGE ID"),
    Column("CreatedSince", "CREATED"),
    Column("Size", "SIZE"),
];
const COLUMNS_WITH_DIGEST: &[Column] = &[
    Column("Repository", "REPOSITORY"),
    Column("Tag", "TAG"),
    Column("Digest", "DIGEST"),
    Column("ID", "IMAGE ID"),
    Column("CreatedSince", "CREATED"),
    Column("Size", "SIZE"),
];

const HISTORY: Column = Column("History", "HISTORY");

/// Shown as soon as one image is read-only, as in Podman.
const READ_ONLY: Column = Column("ReadOnly", "R/O");

fn columns(digests: bool, history: bool, read_only: bool) -> Vec<Column> {
    let columns = if digests { COLUMNS_WITH_DIGEST } else { COLUMNS };
    columns.iter().copied().chain(history.then_some(HISTORY)).chain(read_only.then_some(READ_ONLY)).collect()
}

/// What only some formats show, and not for free.
#[derive(Default)]
struct Space {
    shared: HashMap<Digest, u64>,
    containers: HashMap<String, u64>,
}

impl Space {
    fn of(dirs: &Dirs, store: &Store, images: &[Listed], format: Option<&str>) -> Result<Self> {
        let shows = |field: &str| format.is_some_and(|format| format == "json" || format.contains(field));
        let mut space = Self::default();
        if shows("SharedSize") || shows("UniqueSize") {
            space.shared = images::shared(store, images)?;
        }
        if shows("Containers") {
            for container in store::list(dirs)? {
                *space.containers.entry(container.record.image_id).or_default() += 1;
            }
        }
        Ok(space)
    }

    fn shared(&self, listed: &Listed) -> u64 {
        self.shared.get(&listed.image.id).copied().unwrap_or_default()
    }

    fn containers(&self, listed: &Listed) -> u64 {
        self.containers.get(&listed.image.id.hex()).copied().unwrap_or_default()
    }
}

/// One line: an image under one of its names.
struct Row<'a> {
    repository: &'a str,
    tag: &'a str,
    listed: &'a Listed,
}

pub(crate) fn run(args: Images, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let (images, damaged) = images::list(&store)?;
    damaged.iter().for_each(|what| context.ui.warn(what));
    let dirs = context.dirs()?;
    let filter = Filter::parse(&store, &args.filter, args.image.as_deref(), || images::used(dirs))?;
    let kept: Vec<(&Listed, Vec<&str>)> = images.iter().filter_map(|l| Some((l, filter.names(l)?))).collect();
    let mut rows: Vec<Row<'_>> = kept.iter().flat_map(|(listed, names)| rows(listed, names)).collect();
    sort(&mut rows, &args.sort);
    let now = Timestamp::now();
    let space = Space::of(dirs, &store, &images, args.format.as_deref())?;
    let mut values: Vec<Value> = rows.iter().map(|row| value(row, &space, args.no_trunc, now)).collect();
    if args.quiet {
        // An image with two names is one image.
        values.dedup_by(|a, b| a["ID"] == b["ID"]);
    }
    let listing = Listing {
        name: "images",
        columns: &columns(args.digests, args.history, kept.iter().any(|(listed, _)| listed.read_only)),
        other_headings: &[],
        format: args.format.as_deref(),
        noheading: args.noheading,
        quiet: args.quiet.then_some("ID"),
    };
    listing.print(context.ui, &values, || {
        Ok(Value::Array(kept.iter().map(|(listed, _)| machine(listed, &space)).collect()))
    })?;
    Ok(0)
}

fn rows<'a>(listed: &'a Listed, names: &[&'a str]) -> Vec<Row<'a>> {
    let split = |name: &'a str| name.rsplit_once(':').unwrap_or((name, NONE));
    let mut rows: Vec<Row<'a>> =
        names.iter().map(|name| split(name)).map(|(repository, tag)| Row { repository, tag, listed }).collect();
    if rows.is_empty() {
        // Known by its digest only.
        let repository = listed.digests.first().and_then(|name| name.split_once('@')).map_or(NONE, |(name, _)| name);
        rows.push(Row { repository, tag: NONE, listed });
    }
    rows
}

fn sort(rows: &mut [Row<'_>], order: &str) {
    match order {
        "id" => rows.sort_by_key(|row| row.listed.image.id),
        "repository" => rows.sort_by_key(|row| (row.repository, row.tag)),
        "size" => rows.sort_by_key(|row| row.listed.size),
        "tag" => rows.sort_by_key(|row| (row.tag, row.repository)),
        // As the engine gives them.
        _ => {}
    }
}

fn value(row: &Row<'_>, space: &Space, no_trunc: bool, now: Timestamp) -> Value {
    let Row { repository, tag, listed } = row;
    let image = &listed.image;
    let hex = image.id.hex();
    let id = if no_trunc { image.id.to_string() } else { short(&hex).to_owned() };
    let since = human::ago(image.created, now);
    json!({
        "ID": id,
        "Id": hex,
        "Repository": repository,
        "Tag": tag,
        "Digest": image.manifest.to_string(),
        "CreatedSince": since,
        "Created": since,
        "CreatedAt": image.created.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        "CreatedTime": image.created.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        "Size": human::size_spaced(listed.size),
        "VirtualSize": human::size_spaced(listed.size),
        "SharedSize": human::size_spaced(space.shared(listed)),
        "UniqueSize": human::size_spaced(listed.size.saturating_sub(space.shared(listed))),
        "ParentId": "",
        "Containers": space.containers(listed),
        "Dangling": listed.tags.is_empty(),
        "ReadOnly": listed.read_only,
        "RepoTags": listed.tags,
        "RepoDigests": listed.digests,
        "Names": listed.tags,
        "History": listed.tags.join(", "),
        "Labels": image.labels,
    })
}

fn machine(listed: &Listed, space: &Space) -> Value {
    let image = &listed.image;
    let labels = &image.labels;
    let mut value = json!({
        "Id": image.id.hex(),
        "ParentId": "",
        "RepoTags": null,
        "RepoDigests": listed.digests,
        "Size": listed.size,
        "SharedSize": space.shared(listed),
        "UniqueSize": listed.size.saturating_sub(space.shared(listed)),
        "VirtualSize": listed.size,
        "Labels": if labels.is_empty() { Value::Null } else { json!(labels) },
        "Containers": space.containers(listed),
        "Digest": image.manifest.to_string(),
        "History": listed.tags,
        "Names": listed.tags,
        "Created": image.created.as_second(),
        "CreatedAt": image.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    if listed.read_only {
        value["ReadOnly"] = Value::Bool(true);
    }
    if listed.tags.is_empty() {
        value["Dangling"] = Value::Bool(true);
    }
    value
}
