//! `rpod image prune`.

use super::Context;
use super::confirm::confirm;
use super::each::each;
use crate::cli::image_space::Prune;
use crate::engine::images;
use crate::error::Result;
use crate::human;

const DANGLING: &str = "WARNING! This command removes all dangling images.\nAre you sure you want to continue?";
const ALL: &str = "WARNING! This command removes all images without at least one container associated with them.\n\
                   Are you sure you want to continue?";

pub(crate) fn run(args: Prune, context: &Context<'_>) -> Result<u8> {
    if !args.force && !confirm(context, if args.all { ALL } else { DANGLING })? {
        return Ok(0);
    }
    let store = context.store()?;
    if args.build_cache {
        store.forget_build_steps()?;
    }
    let pruned = images::prune(context.dirs()?, &store, args.all, &args.filter)?;
    // Standard output has ids only, as Podman's: scripts count them.
    pruned.removed.iter().try_for_each(|id| context.ui.line(id))?;
    match pruned.freed {
        Some(freed) => context.ui.note(format_args!("Total reclaimed space: {}", human::size(freed.bytes))),
        None => {
            context.ui.warn("an image is being fetched: the layers are removed by the next command that removes images")
        }
    }
    each(context, pruned.failed, Err)
}
