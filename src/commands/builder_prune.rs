//! `rpod builder prune`.

use jiff::Timestamp;

use super::Context;
use super::confirm::confirm;
use crate::build::{self, Limits};
use crate::cli::build::Prune;
use crate::engine::container::options::values;
use crate::engine::when;
use crate::error::{Error, Result};
use crate::human;
use crate::userns::IdMaps;

pub(crate) fn run(args: Prune, context: &Context<'_>) -> Result<u8> {
    let bytes = |size: &Option<String>| size.as_deref().map(values::size).transpose();
    let kept = bytes(&args.keep_storage)?.into_iter().chain(bytes(&args.max_used_space)?).max();
    let limits = Limits { before: before(&args.filter)?, most: kept, free: bytes(&args.min_free_space)? };
    let is_limited = limits.before.is_some() || limits.most.is_some() || limits.free.is_some();
    let question = "WARNING! This will remove all build cache. Are you sure you want to continue?";
    if !args.force && !confirm(context, question)? {
        return Ok(0);
    }
    let pruned =
        build::prune(context.dirs()?, &context.store()?, &IdMaps::for_user()?, args.all && !is_limited, &limits)?;
    context.ui.line(format!("Removed {} cached build steps", pruned.steps))?;
    context.ui.line(format!("Total reclaimed space: {}", human::size(pruned.bytes)))?;
    Ok(0)
}

/// `--filter until=…`: the earliest of several.
fn before(filters: &[String]) -> Result<Option<Timestamp>> {
    let mut before: Option<Timestamp> = None;
    for filter in filters {
        let Some(("until", text)) = filter.split_once('=') else {
            return Err(Error::new(format!("invalid --filter {filter:?}")).hint("until=DURATION is known"));
        };
        let time = when::parse("filter until", text)?;
        before = Some(before.map_or(time, |before| before.min(time)));
    }
    Ok(before)
}
