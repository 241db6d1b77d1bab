//! `rpod tag` and `rpod untag`.

use super::Context;
use crate::cli::image::{Tag, Untag};
use crate::engine::manifests::{self, List};
use crate::engine::{events, images};
use crate::error::{Kind, Result};
use crate::storage::Store;

pub(crate) fn tag(args: Tag, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    if let Some(list) = list(&store, &args.image)? {
        manifests::tag(&store, &list, &args.names)?;
        return Ok(0);
    }
    let image = images::resolve(&store, &args.image)?;
    images::tag(&store, &image, &args.names)?;
    let dirs = context.dirs()?;
    args.names.iter().for_each(|name| events::image(dirs, "tag", &image.id.hex(), name));
    Ok(0)
}

pub(crate) fn untag(args: Untag, context: &Context<'_>) -> Result<u8> {
    images::check_name(&args.image)?;
    let store = context.store()?;
    if let Some(list) = list(&store, &args.image)? {
        manifests::untag(&store, &list, &args.names)?;
        return Ok(0);
    }
    let image = images::resolve(&store, &args.image)?;
    images::untag(&store, &image, &args.names)?;
    let dirs = context.dirs()?;
    args.names.iter().for_each(|name| events::image(dirs, "untag", &image.id.hex(), name));
    Ok(0)
}

/// The list that the name or id means, unless it means an image.
fn list(store: &Store, name: &str) -> Result<Option<List>> {
    if images::is_image_name(store, name)? {
        return Ok(None);
    }
    match manifests::by_name(store, name)? {
        Some(list) => Ok(Some(list)),
        None => match images::resolve(store, name) {
            Err(error) if error.kind() == Kind::NoSuchObject => manifests::find(store, name),
            _ => Ok(None),
        },
    }
}
