//! `rpod tag` and `rpod untag`.

use super::Context;
use crate::cli::image::{Tag, Untag};
use crate::engine::{events, images};
use crate::error::Result;

pub(crate) fn tag(args: Tag, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let image = images::resolve(&store, &args.image)?;
    images::tag(&store, &image, &args.names)?;
    let dirs = context.dirs()?;
    args.names.iter().for_each(|name| events::image(dirs, "tag", &image.id.hex(), name));
    Ok(0)
}

pub(crate) fn untag(args: Untag, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let image = images::resolve(&store, &args.image)?;
    images::untag(&store, &image, &args.names)?;
    let dirs = context.dirs()?;
    args.names.iter().for_each(|name| events::image(dirs, "untag", &image.id.hex(), name));
    Ok(0)
}
