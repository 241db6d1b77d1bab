//! `rpod stop`.

use super::Context;
use super::each::each;
use crate::cli::container::Stop;
use crate::engine::container::lifecycle::{self, Stopping};
use crate::engine::container::select::Selection;
use crate::engine::events;
use crate::error::Result;

pub(crate) fn run(args: Stop, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let selection = Selection {
        names: &args.containers,
        all: args.all,
        latest: args.latest,
        cidfiles: &args.cidfile,
        filters: &args.filter,
        ignore: args.ignore,
        repeats: false,
    };
    let containers = selection.resolve(dirs, "you must provide at least one name or id")?;
    // All are asked before any is waited for: their times run side by side.
    let asked: Vec<_> = containers
        .iter()
        .map(|(name, container)| {
            let patience = lifecycle::patience(container, args.time);
            let asked = lifecycle::ask_to_stop(dirs, container, patience);
            if asked.as_ref().is_ok_and(Stopping::is_under_way) {
                events::container(dirs, "stop", &container.record);
            }
            (name, container, patience, asked)
        })
        .collect();
    each(context, asked, |(name, container, patience, asked)| {
        let killed = asked?.finish()?;
        if let Some(patience) = patience.filter(|patience| killed && !patience.is_zero()) {
            context.ui.warn(format!(
                "StopSignal {} failed to stop container {} in {} seconds, resorting to SIGKILL",
                crate::sys::signal::name(container.record.stop_signal),
                container.record.name,
                patience.as_secs()
            ));
        }
        context.ui.line(name)
    })
}
