//! `rpod system df`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use crate::cli::space::Df;
use crate::engine::system::df::{self, Usage};
use crate::error::{Error, Result};
use crate::human;
use crate::output::listing::{Column, Listing};
use crate::output::table;
use crate::state::id::short;

const COLUMNS: &[Column] = &[
    Column("Type", "TYPE"),
    Column("Total", "TOTAL"),
    Column("Active", "ACTIVE"),
    Column("Size", "SIZE"),
    Column("Reclaimable", "RECLAIMABLE"),
];

pub(crate) fn run(args: Df, context: &Context<'_>) -> Result<u8> {
    if args.verbose && args.format.is_some() {
        return Err(Error::new("cannot combine --format and --verbose flags"));
    }
    let usage = df::usage(context.dirs()?, &context.store()?)?;
    if args.verbose {
        return verbose(&usage, context);
    }
    let used_images = usage.images.iter().filter(|image| image.containers > 0).count();
    let active = usage.containers.iter().filter(|container| container.active()).count();
    let container_size: u64 = usage.containers.iter().map(|container| container.size).sum();
    let idle: u64 = usage.containers.iter().filter(|c| !c.active()).map(|c| c.size).sum();
    let volume_size: u64 = usage.volumes.iter().map(|volume| volume.size).sum();
    let used_volumes = usage.volumes.iter().filter(|volume| volume.links > 0).count();
    let unused_volumes: u64 = usage.volumes.iter().filter(|v| v.links == 0).map(|v| v.size).sum();
    let rows: Vec<Value> = [
        ("Images", usage.images.len(), used_images, usage.layers, usage.unused_layers),
        ("Containers", usage.containers.len(), active, container_size, idle),
        ("Local Volumes", usage.volumes.len(), used_volumes, volume_size, unused_volumes),
        // As Docker shows it; Podman keeps no cache of its own.
        ("Build Cache", usage.cache.steps, usage.cache.used, usage.cache.size, usage.cache.size),
    ]
    .into_iter()
    .map(|(kind, total, active, size, reclaimable)| {
        let percent = (reclaimable * 100 + size / 2).checked_div(size).unwrap_or(0);
        json!({
            "Type": kind,
            "Total": total,
            "TotalCount": total,
            "Active": active,
            "Size": human::size(size),
            "RawSize": size,
            "Reclaimable": format!("{} ({percent}%)", human::size(reclaimable)),
            "RawReclaimable": reclaimable,
        })
    })
    .collect();
    let listing = Listing {
        name: "system df",
        columns: COLUMNS,
        other_headings: &[],
        format: args.format.as_deref(),
        noheading: false,
        quiet: None,
    };
    listing.print(context.ui, &rows, || Ok(Value::Array(rows.clone())))?;
    Ok(0)
}

fn verbose(usage: &Usage, context: &Context<'_>) -> Result<u8> {
    let now = Timestamp::now();
    let heading = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    let mut rows = vec![heading(&[
        "REPOSITORY",
        "TAG",
        "IMAGE ID",
        "CREATED",
        "SIZE",
        "SHARED SIZE",
        "UNIQUE SIZE",
        "CONTAINERS",
    ])];
    for image in &usage.images {
        let id = image.listed.image.id.hex();
        let tag = image.listed.tags.first().map_or("<none>:<none>", String::as_str);
        let (repository, tag) = tag.rsplit_once(':').unwrap_or((tag, ""));
        rows.push(vec![
            repository.to_owned(),
            tag.to_owned(),
            short(&id).to_owned(),
            human::ago(image.listed.image.created, now),
            human::size(image.shared + image.unique),
            human::size(image.shared),
            human::size(image.unique),
            image.containers.to_string(),
        ]);
    }
    context.ui.print("Images space usage:\n\n")?;
    context.ui.print(&table::render(&rows))?;
    let mut rows =
        vec![heading(&["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"])];
    for usage in &usage.containers {
        let record = &usage.container.record;
        rows.push(vec![
            short(&record.id).to_owned(),
            short(&record.image_id).to_owned(),
            record.command.join(" "),
            usage.volumes.to_string(),
            human::size(usage.size),
            human::ago(record.created, now),
            usage.state.status.as_str().to_owned(),
            record.name.clone(),
        ]);
    }
    context.ui.print("\nContainers space usage:\n\n")?;
    context.ui.print(&table::render(&rows))?;
    let mut rows = vec![heading(&["VOLUME NAME", "LINKS", "SIZE"])];
    for volume in &usage.volumes {
        rows.push(vec![volume.name.clone(), volume.links.to_string(), human::size(volume.size)]);
    }
    context.ui.print("\nLocal Volumes space usage:\n\n")?;
    context.ui.print(&table::render(&rows))?;
    context.ui.print(&format!("\nBuild cache usage: {}\n", human::size(usage.cache.size)))?;
    Ok(0)
}
