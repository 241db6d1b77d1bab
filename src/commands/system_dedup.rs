//! `rpod system dedup`.

use super::Context;
use crate::cli::space::Dedup;
use crate::engine::system::dedup::dedup;
use crate::error::Result;
use crate::human;

pub(crate) fn run(args: Dedup, context: &Context<'_>) -> Result<u8> {
    let shared = dedup(context.dirs()?, &context.store()?, args.hard_links)?;
    let how = if args.hard_links { "are links to" } else { "share the blocks of" };
    let (now, all) = (human::size(shared.bytes), human::size(shared.before + shared.bytes));
    context.ui.line(format_args!("{} files {how} equal ones now: {now} saved, {all} in all", shared.files))?;
    Ok(0)
}
