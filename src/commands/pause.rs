//! `rpod pause` and `rpod unpause`.

use super::Context;
use super::each::each;
use crate::cli::container::{Chosen, Pause, Unpause};
use crate::engine::container::pause;
use crate::engine::container::select::Selection;
use crate::engine::container::store::Container;
use crate::error::Result;
use crate::monitor::state::Status;
use crate::state::paths::Dirs;

pub(crate) fn pause(args: Pause, context: &Context<'_>) -> Result<u8> {
    change(&args.chosen, context, Status::Running, pause::pause)
}

pub(crate) fn unpause(args: Unpause, context: &Context<'_>) -> Result<u8> {
    change(&args.chosen, context, Status::Paused, pause::unpause)
}

/// Those that were not named are left alone unless their status is `from`.
fn change(
    args: &Chosen,
    context: &Context<'_>,
    from: Status,
    action: fn(&Dirs, &Container) -> Result<()>,
) -> Result<u8> {
    let dirs = context.dirs()?;
    let selection = Selection {
        names: &args.containers,
        all: args.all,
        latest: args.latest,
        cidfiles: &args.cidfile,
        filters: &args.filter,
        ignore: false,
        repeats: false,
    };
    let containers = selection.resolve(dirs, "you must provide at least one name or id")?;
    each(context, &containers, |(name, container)| {
        if args.containers.is_empty() && container.state(dirs)?.status != from {
            return Ok(());
        }
        action(dirs, container)?;
        context.ui.line(name)
    })
}
