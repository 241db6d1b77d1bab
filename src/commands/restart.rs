//! `rpod restart`.

use super::Context;
use super::each::each;
use crate::cli::container::Restart;
use crate::engine::container::select::Selection;
use crate::engine::container::start::Audience;
use crate::engine::container::{lifecycle, requires, start};
use crate::engine::events;
use crate::error::Result;
use crate::monitor::state::Status;

pub(crate) fn run(args: Restart, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let selection = Selection {
        names: &args.containers,
        all: args.all || (args.running && args.containers.is_empty() && args.cidfile.is_empty()),
        latest: args.latest,
        cidfiles: &args.cidfile,
        filters: &args.filter,
        ..Selection::default()
    };
    let containers = selection.resolve(dirs, "you must provide at least one name or id")?;
    each(context, &containers, |(name, container)| {
        if args.running && container.state(dirs)?.status != Status::Running {
            return Ok(());
        }
        events::container(dirs, "restart", &container.record);
        lifecycle::ask_to_stop(dirs, container, lifecycle::patience(container, args.time))?.finish()?;
        requires::start_all(dirs, &container.record.requires, &mut |warning| context.ui.warn(warning))?;
        if let Some(client) = start::up(dirs, container, Audience::default())? {
            client.wait_started(&mut |warning| context.ui.warn(warning))?;
            client.detach();
        }
        context.ui.line(name)
    })
}
