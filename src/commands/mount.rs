//! `rpod mount`, `rpod unmount`.

use serde_json::json;

use super::Context;
use super::each::each;
use crate::cli::files::{Mount, Unmount};
use crate::engine::container::files::mount as engine;
use crate::engine::container::select::Selection;
use crate::engine::container::store::Container;
use crate::error::{Error, Result};
use crate::output::json as printed;
use crate::output::table;
use crate::state::id::short;

pub(crate) fn mount(args: Mount, context: &Context<'_>) -> Result<u8> {
    engine::check("mount")?;
    let dirs = context.dirs()?;
    if args.containers.is_empty() && !args.all && !args.latest {
        let mounted = engine::list(dirs)?;
        if args.format.as_deref() == Some("json") {
            let row = |(container, path): &(Container, _)| json!({"id": container.id(), "Names": [container.record.name], "mountpoint": path});
            printed::pretty(context.ui, &mounted.iter().map(row).collect::<Vec<_>>())?;
        } else {
            let rows: Vec<Vec<String>> = mounted
                .iter()
                .map(|(container, path)| {
                    let id = if args.no_trunc { container.id() } else { short(container.id()) };
                    vec![id.to_owned(), path.display().to_string()]
                })
                .collect();
            context.ui.print(&table::render(&rows))?;
        }
        return Ok(0);
    }
    let selection = Selection { names: &args.containers, all: args.all, latest: args.latest, ..Selection::default() };
    let one = args.containers.len() == 1 && !args.all;
    each(context, &selection.resolve(dirs, "you must provide at least one name or id")?, |(name, container)| {
        let path = engine::mount(dirs, container)?;
        match one || args.latest {
            true => context.ui.line(path.display()),
            false => context.ui.line(format_args!("{name} {}", path.display())),
        }
    })
}

pub(crate) fn unmount(args: Unmount, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    if !args.all && !args.latest && args.containers.is_empty() {
        return Err(Error::new("you must provide at least one name or id"));
    }
    let selection = Selection { names: &args.containers, all: args.all, latest: args.latest, ..Selection::default() };
    each(context, &selection.resolve(dirs, "you must provide at least one name or id")?, |(name, container)| {
        match engine::unmount(container, args.force)? || !args.all {
            true => context.ui.line(name),
            false => Ok(()),
        }
    })
}
