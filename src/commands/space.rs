//! `rpod system df`, `prune`, `reset`, `check`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use super::confirm::confirm;
use crate::cli::space::{Check, Df, Prune, Reset};
use crate::engine::container::prune as container_prune;
use crate::engine::system::prune::images as prune_images;
use crate::engine::system::{check as checking, df as usage, reset as resetting};
use crate::engine::volumes::{self, Filters};
use crate::error::{Error, Result};
use crate::output::listing::{Column, Listing};
use crate::output::{human, table};
use crate::state::id::short;

const COLUMNS: &[Column] = &[
    Column("Type", "TYPE"),
    Column("Total", "TOTAL"),
    Column("Active", "ACTIVE"),
    Column("Size", "SIZE"),
    Column("Reclaimable", "RECLAIMABLE"),
];

pub(crate) fn df(args: Df, context: &Context<'_>) -> Result<u8> {
    if args.verbose && args.format.is_some() {
        return Err(Error::new("cannot combine --format and --verbose flags"));
    }
    let usage = usage::usage(context.dirs()?, &context.store()?)?;
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

fn verbose(usage: &usage::Usage, context: &Context<'_>) -> Result<u8> {
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
            human::ago(image.listed.image.created(), now),
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
    Ok(0)
}

pub(crate) fn prune(args: Prune, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let store = context.store()?;
    if args.build || args.external {
        return Err(Error::new("rpod leaves no containers of builds or of other programs behind"));
    }
    if args.volumes && args.filter.iter().any(|filter| filter.starts_with("until")) {
        return Err(Error::new("volumes cannot be pruned by time: leave --filter until or --volumes out"));
    }
    if !args.force {
        let images = if args.all {
            "all images without at least one container associated with them"
        } else {
            "all dangling images"
        };
        let volumes = if args.volumes { "\n\t- all volumes without a name that no container uses" } else { "" };
        let question = format!(
            "WARNING! This command removes:\n\t- all stopped containers\n\t- {images}{volumes}\n\nAre you sure you want to continue?"
        );
        if !confirm(context, &question)? {
            return Ok(0);
        }
    }
    let before = usage::usage(dirs, &store)?.total();
    let pruned = container_prune::prune(dirs, &args.filter)?;
    let mut code = 0;
    let section = |title: &str, lines: &[String]| -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        context.ui.line(title)?;
        lines.iter().try_for_each(|line| context.ui.line(line))
    };
    section("Deleted Containers", &pruned.removed)?;
    for error in &pruned.failed {
        code = 125;
        crate::output::report::error(context.ui, error);
    }
    section("Deleted Images", &prune_images(dirs, &store, args.all, &args.filter)?)?;
    if args.volumes {
        let filters = Filters::parse(&args.filter, |name| Ok(volumes::find(dirs, name)?.created))?;
        section("Deleted Volumes", &volumes::prune(dirs, false, &filters)?.0)?;
    }
    let freed = before.saturating_sub(usage::usage(dirs, &store)?.total());
    context.ui.line(format_args!("Total reclaimed space: {}", human::size(freed)))?;
    Ok(code)
}

pub(crate) fn reset(args: Reset, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    if !args.force {
        let volumes = if args.volumes { "all volumes" } else { "all volumes without a name" };
        let question = format!(
            "WARNING! This will remove:\n        - all containers\n        - all images\n        - all networks\n        \
             - all secrets\n        - {volumes}\n        - everything else below {}, {} and {}\nAre you sure you want to continue?",
            dirs.data.display(),
            dirs.host.display(),
            dirs.runtime.display()
        );
        if !confirm(context, &question)? {
            return Ok(0);
        }
    }
    resetting::reset(dirs, args.volumes)?;
    Ok(0)
}

pub(crate) fn check(args: Check, context: &Context<'_>) -> Result<u8> {
    let (dirs, store) = (context.dirs()?, context.store()?);
    let report = checking::check(dirs, &store, args.quick)?;
    let ui = context.ui;
    for (id, why) in &report.layers {
        ui.line(format_args!("Damaged layer {id}:\n {why}"))?;
    }
    for (digest, why) in &report.blobs {
        ui.line(format_args!("Damaged document {digest}:\n {why}"))?;
    }
    for (name, why) in &report.names {
        ui.line(format_args!("Damaged image {name}:\n {why}"))?;
    }
    for (id, name, why) in &report.containers {
        ui.line(format_args!("Damaged container {id} ({name}):\n {why}"))?;
    }
    for name in &report.volumes {
        ui.line(format_args!("Damaged volume {name}:\n its description is missing"))?;
    }
    for name in &report.unused_volumes {
        ui.line(format_args!("Volume {name} is used by no container"))?;
    }
    if report.is_clean() {
        return Ok(0);
    }
    if !args.repair && !args.force {
        return Err(Error::new("damage detected in local storage").hint("rpod system check --repair mends it"));
    }
    checking::repair(dirs, &store, &report, args.force)?;
    let after = checking::check(dirs, &store, true)?;
    if after.is_clean() {
        ui.line("Repaired")?;
        return Ok(0);
    }
    Err(Error::new(format!(
        "damage is left: {} containers cannot be used until their images are there again",
        after.containers.len()
    ))
    .hint("pull or load the images, or remove the containers with rpod system check --force"))
}
