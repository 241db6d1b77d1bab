//! `rpod tag` and `rpod untag`.

use super::Context;
use crate::cli::image::{Tag, Untag};
use crate::engine::images;
use crate::error::Result;

pub(crate) fn tag(args: Tag, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    images::tag(&store, &images::resolve(&store, &args.image)?, &args.names)?;
    Ok(0)
}

pub(crate) fn untag(args: Untag, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    images::untag(&store, &images::resolve(&store, &args.image)?, &args.names)?;
    Ok(0)
}
