//! `rpod kill`.

use super::Context;
use super::each::each;
use crate::cli::container::Kill;
use crate::engine::container::lifecycle;
use crate::engine::container::select::Selection;
use crate::error::{Error, Result};
use crate::sys::signal;

pub(crate) fn run(args: Kill, context: &Context<'_>) -> Result<u8> {
    let number = signal::parse(&args.signal).ok_or_else(|| Error::new(format!("invalid signal: {}", args.signal)))?;
    let dirs = context.dirs()?;
    let selection = Selection {
        names: &args.containers,
        all: args.all,
        latest: args.latest,
        cidfiles: &args.cidfile,
        filters: &[],
        ignore: false,
        repeats: false,
    };
    let containers = selection.resolve(dirs, "you must provide at least one name or id")?;
    each(context, &containers, |(name, container)| {
        if args.all && !container.state(dirs)?.status.is_up() {
            return Ok(());
        }
        lifecycle::kill(dirs, container, number)?;
        context.ui.line(name)
    })
}
