//! `rpod system prune`.

use super::Context;
use super::confirm::confirm;
use crate::build;
use crate::cli::space::Prune;
use crate::engine::container::prune as containers;
use crate::engine::images::{self, Pruned};
use crate::engine::network::remove as networks;
use crate::engine::system::df;
use crate::engine::volumes::{self, Filters};
use crate::error::{Error, Result};
use crate::human;
use crate::output;
use crate::userns::IdMaps;

pub(crate) fn run(args: Prune, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let store = context.store()?;
    if args.external {
        return Err(Error::new("rpod leaves no containers of other programs behind"));
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
        let cache = if args.build || args.all && args.filter.is_empty() { "\n\t- the build cache" } else { "" };
        let question = format!(
            "WARNING! This command removes:\n\t- all stopped containers\n\t- all networks not used by at least one container\n\t- {images}{volumes}{cache}\n\nAre you sure you want to continue?"
        );
        if !confirm(context, &question)? {
            return Ok(0);
        }
    }
    let before = df::usage(dirs, &store)?.total();
    let pruned = containers::prune(dirs, &args.filter)?;
    let mut code = 0;
    let section = |title: &str, lines: &[String]| -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        context.ui.line(title)?;
        lines.iter().try_for_each(|line| context.ui.line(line))
    };
    section("Deleted Containers", &pruned.removed)?;
    section("Deleted Networks", &networks::prune(dirs, &args.filter)?)?;
    // What cannot be told of images must not keep the rest of the disk full.
    let images = images::prune(dirs, &store, args.all, &args.filter);
    let collects = images.is_ok();
    let images = images.unwrap_or_else(|error| Pruned { failed: vec![error], ..Pruned::default() });
    for error in pruned.failed.iter().chain(&images.failed) {
        code = 125;
        output::report::error(context.ui, error);
    }
    section("Deleted Images", &images.removed)?;
    if args.volumes {
        let filters = Filters::parse(&args.filter, |name| Ok(volumes::find(dirs, name)?.created))?;
        section("Deleted Volumes", &volumes::prune(dirs, false, &filters)?.0)?;
    }
    // Docker's -a removes it as well, but not what steps keep in cache directories. It has no labels and no age of its own.
    let cache = args.all && args.filter.is_empty();
    if collects && (args.build || cache) {
        build::prune(dirs, &store, &IdMaps::for_user()?, args.build, &build::Limits::default())?;
    }
    let freed = before.saturating_sub(df::usage(dirs, &store)?.total());
    context.ui.line(format_args!("Total reclaimed space: {}", human::size(freed)))?;
    Ok(code)
}
