//! `rpod rm`.

use super::Context;
use super::each::each;
use crate::cli::container::Rm;
use crate::engine::container::damaged;
use crate::engine::container::lifecycle::{self, Removal};
use crate::engine::container::requires;
use crate::engine::container::select::Selection;
use crate::engine::container::store::{self, Container};
use crate::error::{Error, Kind, Result};
use crate::output;
use crate::state::paths::Dirs;

pub(crate) fn run(args: Rm, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let containers = if args.force { remove_damaged(&args, context)? } else { args.containers.clone() };
    if containers.is_empty() && !args.containers.is_empty() {
        return Ok(0);
    }
    let selection = Selection {
        names: &containers,
        all: args.all,
        latest: args.latest,
        cidfiles: &args.cidfile,
        filters: &args.filter,
        ignore: args.ignore || args.force,
        repeats: false,
    };
    let removal = Removal { force: args.force, seconds: args.time, volumes: args.volumes };
    let removed = selection.resolve(dirs, "you must provide at least one name or id").and_then(|containers| {
        let asked: Vec<_> = containers
            .iter()
            .map(|(name, container)| {
                // One that has to stay is not killed either.
                let free = if args.depend || args.all { Ok(()) } else { has_no_dependents(dirs, container) };
                (name, container, free.and_then(|()| lifecycle::ask_to_leave(dirs, container, removal)))
            })
            .collect();
        each(context, asked, |(name, container, asked)| {
            if let Some(stopping) = asked? {
                stopping.finish()?;
            }
            remove(context, container, removal, args.depend || args.all)?;
            context.ui.line(name)
        })
    });
    removed.or_else(|error| {
        let code = match error.kind() {
            Kind::NoSuchObject => 1,
            Kind::Conflict => 2,
            _ => return Err(error),
        };
        output::report::error(context.ui, &error);
        Ok(code)
    })
}

/// Removes those of the containers meant whose record cannot be read; answers the names that are left.
fn remove_damaged(args: &Rm, context: &Context<'_>) -> Result<Vec<String>> {
    let dirs = context.dirs()?;
    if args.all && args.containers.is_empty() {
        for damaged in store::survey(dirs)?.1 {
            damaged::remove(dirs, &damaged)?;
            context.ui.line(&damaged.id)?;
        }
    }
    let mut left = Vec::new();
    for name in &args.containers {
        let damaged = match store::find(dirs, name) {
            Err(e) if e.kind() != Kind::NoSuchObject => damaged::find(dirs, name)?,
            _ => None,
        };
        match damaged {
            Some(damaged) => {
                damaged::remove(dirs, &damaged)?;
                context.ui.line(name)?;
            }
            None => left.push(name.clone()),
        }
    }
    Ok(left)
}

/// Fails when other containers need this one.
fn has_no_dependents(dirs: &Dirs, container: &Container) -> Result<()> {
    let dependents = requires::dependents(dirs, container)?;
    if dependents.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = dependents.iter().map(Container::id).collect();
    Err(Error::new(format!(
        "container {} has dependent containers which must be removed before it: {}: container already exists",
        container.id(),
        ids.join(", ")
    ))
    .hint("rpod rm --depend removes them as well"))
}

/// Removes a container; with `depend` those that require it before, and tells which.
fn remove(context: &Context<'_>, container: &Container, removal: Removal, depend: bool) -> Result<()> {
    let dirs = context.dirs()?;
    if !depend {
        has_no_dependents(dirs, container)?;
    }
    for dependent in &requires::dependents(dirs, container)? {
        remove(context, dependent, removal, true)?;
        context.ui.line(dependent.id())?;
    }
    lifecycle::remove(dirs, container, removal)
}
