//! `rpod network prune`.

use super::Context;
use super::confirm::confirm;
use crate::cli::network::Prune;
use crate::engine::network::remove;
use crate::error::Result;

pub(crate) fn run(args: Prune, context: &Context<'_>) -> Result<u8> {
    if !args.force {
        let question = "WARNING! This will remove all networks not used by at least one container.\n\
                        Are you sure you want to continue?";
        if !confirm(context, question)? {
            return Ok(0);
        }
    }
    for name in remove::prune(context.dirs()?, &args.filter)? {
        context.ui.line(name)?;
    }
    Ok(0)
}
