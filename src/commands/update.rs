//! `rpod update`.

use super::Context;
use super::create_options::{health, resource_flags};
use crate::cli::change::Update;
use crate::engine::container::options::{life, resources};
use crate::engine::container::{store, update};
use crate::engine::events;
use crate::error::{Error, Result};

pub(crate) fn run(args: Update, context: &Context<'_>) -> Result<u8> {
    let [name] = args.containers.as_slice() else {
        return Err(Error::new(format!("accepts 1 arg(s), received {}", args.containers.len())));
    };
    let dirs = context.dirs()?;
    let container = store::find(dirs, name)?;
    let mut flags = resource_flags(&args.resources);
    // What counts memory and swap together needs the memory that is in force.
    let kept = match flags.memory_swap.is_some() && flags.memory.is_none() {
        true => update::memory_limit(&container.config()?).map(|bytes| bytes.to_string()),
        false => None,
    };
    flags.memory = flags.memory.or(kept.as_deref());
    let (mut limits, ignored) = resources::resources(flags)?;
    if args.resources.pids_limit.is_some_and(|limit| limit <= 0) {
        limits.pids = Some(-1);
    }
    ignored.iter().for_each(|text| context.ui.warn(text));
    let restart = args.restart.as_deref().map(|text| life::restart(Some(text), container.record.rm)).transpose()?;
    let change = update::Change { resources: &limits, restart, health: health(&args.health) };
    update::update(&container, &change)?.iter().for_each(|text| context.ui.warn(text));
    events::container(dirs, "update", &container.record);
    context.ui.line(container.id())?;
    Ok(0)
}
