//! `rpod system check`.

use super::Context;
use crate::cli::space::Check;
use crate::engine::system::check;
use crate::error::{Error, Result};
use crate::image::duration;
use crate::output::escape;

pub(crate) fn run(args: Check, context: &Context<'_>) -> Result<u8> {
    let (dirs, store) = (context.dirs()?, context.store()?);
    let age = duration::parse(&args.max).and_then(|age| age.try_into().ok());
    let age = age.ok_or_else(|| {
        Error::new(format!(
            "invalid argument {:?} for \"-m, --max\" flag: time: invalid duration {:?}",
            args.max, args.max
        ))
    })?;
    let report = check::check(dirs, &store, args.quick, age)?;
    let ui = context.ui;
    for (id, why) in &report.layers {
        ui.line(format_args!("Damaged layer {id}:\n {why}"))?;
    }
    for id in &report.stale {
        ui.line(format_args!(
            "Unreferenced layer {id}:\n no image and no container has it, for longer than {}",
            args.max
        ))?;
    }
    for (kept, why) in &report.compressed {
        ui.line(format_args!("Damaged compressed form {} of layer {}:\n {why}", kept.digest, kept.diff_id))?;
    }
    for (digest, why) in &report.blobs {
        ui.line(format_args!("Damaged document {digest}:\n {why}"))?;
    }
    for (name, why) in &report.names {
        ui.line(format_args!("Damaged image {name}:\n {why}"))?;
    }
    for damaged in &report.refs {
        ui.line(format_args!("Damaged name {}:\n {}", escape::line(&damaged.name), damaged.why))?;
    }
    for (id, name, why) in &report.containers {
        ui.line(format_args!("Damaged container {id} ({name}):\n {why}"))?;
    }
    for damaged in &report.damaged {
        ui.line(format_args!("Damaged container {}:\n {}", damaged.id, damaged.why))?;
    }
    for container in &report.nameless {
        ui.line(format_args!("Lost name {}:\n it leads to no container {}", container.record.name, container.id()))?;
    }
    for name in &report.volumes {
        ui.line(format_args!("Damaged volume {name}:\n its description is missing"))?;
    }
    for network in &report.networks {
        ui.line(format_args!("Damaged network {}:\n {}", network.name, network.why))?;
    }
    for path in &report.strays {
        ui.line(format_args!("Not of rpod, and left alone: {}", escape::line(&path.to_string_lossy())))?;
    }
    for name in &report.unused_volumes {
        ui.line(format_args!("Volume {name} is used by no container"))?;
    }
    if report.is_clean() {
        return Ok(0);
    }
    if !args.repair && !args.force {
        let error = Error::new("damage detected in local storage");
        return Err(match report.containers.is_empty() {
            true => error.hint("rpod system check --repair mends it"),
            false => {
                error.hint("rpod system check --repair mends what can be mended; containers want their images back")
            }
        });
    }
    for name in check::repair(dirs, &store, &report, args.force)? {
        ui.line(format_args!("Removed container {name}"))?;
    }
    let after = check::check(dirs, &store, true, age)?;
    if after.is_clean() {
        ui.line("Repaired")?;
        return Ok(0);
    }
    Err(Error::new(format!(
        "damage is left: {} containers cannot be used",
        after.containers.len() + after.damaged.len()
    ))
    .hint(format!(
        "pull or load the images that are missing, or give the --root that the containers were made in: this is {}",
        dirs.data.display()
    ))
    .hint("rpod system check --force removes those that do not run"))
}
