//! `rpod network prune`.

use super::Context;
use crate::cli::network::Prune;
use crate::engine::network::remove;
use crate::error::{Context as _, Result};

pub(crate) fn run(args: Prune, context: &Context<'_>) -> Result<u8> {
    if !args.force {
        context.ui.print(
            "WARNING! This will remove all networks not used by at least one container.\nAre you sure you want to continue? [y/N] ",
        )?;
        context.ui.flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).context(|| "cannot read standard input")?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(0);
        }
    }
    for name in remove::prune(context.dirs()?, &args.filter)? {
        context.ui.line(name)?;
    }
    Ok(0)
}
