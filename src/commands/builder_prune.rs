//! `rpod builder prune`.

use super::Context;
use super::confirm::confirm;
use crate::build;
use crate::cli::build::Prune;
use crate::error::Result;
use crate::output::human;
use crate::userns::IdMaps;

pub(crate) fn run(args: Prune, context: &Context<'_>) -> Result<u8> {
    let question = "WARNING! This will remove all build cache. Are you sure you want to continue?";
    if !args.force && !confirm(context, question)? {
        return Ok(0);
    }
    let pruned = build::prune(context.dirs()?, &context.store()?, &IdMaps::for_user()?, args.all)?;
    context.ui.line(format!("Removed {} cached build steps", pruned.steps))?;
    context.ui.line(format!("Total reclaimed space: {}", human::size(pruned.bytes)))?;
    Ok(0)
}
