//! `rpod rename`.

use super::Context;
use crate::cli::change::Rename;
use crate::engine::container::{rename, store};
use crate::engine::events;
use crate::error::{Error, Result};

pub(crate) fn run(args: Rename, context: &Context<'_>) -> Result<u8> {
    let [old, new] = args.words.as_slice() else {
        return Err(Error::new(format!("accepts 2 arg(s), received {}", args.words.len()))
            .hint("give the container and its new name"));
    };
    let dirs = context.dirs()?;
    let mut container = store::find(dirs, old)?;
    rename::rename(dirs, &container, new)?;
    container.record.name.clone_from(new);
    events::container(dirs, "rename", &container.record);
    Ok(0)
}
