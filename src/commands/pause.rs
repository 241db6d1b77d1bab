//! `rpod pause`.

use super::Context;
use super::each::each;
use crate::cli::container::Pause;
use crate::engine::container::pause;
use crate::engine::container::select::Selection;
use crate::error::Result;
use crate::monitor::state::Status;

pub(crate) fn run(args: Pause, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let selection = Selection {
        names: &args.containers,
        all: args.all,
        latest: args.latest,
        cidfiles: &args.cidfile,
        filters: &args.filter,
        ignore: false,
    };
    let containers = selection.resolve(dirs, "you must provide at least one name or id")?;
    each(context, &containers, |(name, container)| {
        if args.containers.is_empty() && container.state(dirs)?.status != Status::Running {
            return Ok(());
        }
        pause::pause(dirs, container)?;
        context.ui.line(name)
    })
}
