//! `rpod container prune`.

use super::Context;
use super::confirm::confirm;
use super::each::each;
use crate::cli::change::Prune;
use crate::engine::container::prune;
use crate::error::Result;

const QUESTION: &str = "WARNING! This will remove all non running containers.\nAre you sure you want to continue?";

pub(crate) fn run(args: Prune, context: &Context<'_>) -> Result<u8> {
    if !args.force && !confirm(context, QUESTION)? {
        return Ok(0);
    }
    let pruned = prune::prune(context.dirs()?, &args.filter)?;
    pruned.removed.iter().try_for_each(|id| context.ui.line(id))?;
    each(context, pruned.failed, Err)
}
