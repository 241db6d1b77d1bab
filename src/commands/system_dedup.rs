//! `rpod system dedup`.

use super::Context;
use crate::cli::space::Dedup;
use crate::error::Result;
use crate::output::human;

pub(crate) fn run(_: Dedup, context: &Context<'_>) -> Result<u8> {
    let shared = context.store()?.share_files()?;
    context.ui.line(format_args!(
        "{} files share the blocks of equal ones now: {} saved",
        shared.files,
        human::size(shared.bytes)
    ))?;
    Ok(0)
}
