//! `rpod image mount`, `rpod image unmount`.

use serde_json::json;

use super::Context;
use super::each::each;
use crate::cli::image_space::{Mount, Unmount};
use crate::engine::images;
use crate::error::Result;
use crate::output::json;

pub(crate) fn mount(args: Mount, context: &Context<'_>) -> Result<u8> {
    let (dirs, store) = (context.dirs()?, context.store()?);
    if args.images.is_empty() && !args.all {
        return list(args.format.is_some(), context);
    }
    let names = if args.all { images::everything(&store)? } else { args.images };
    let single = names.len() == 1;
    each(context, names, |name| {
        let image = images::resolve(&store, &name)?;
        let place = images::mount(dirs, &store, &image)?;
        match single {
            true => context.ui.line(place.display()),
            false => context.ui.line(format_args!("{}  {}", image.id.hex(), place.display())),
        }
    })
}

fn list(as_json: bool, context: &Context<'_>) -> Result<u8> {
    let (dirs, store) = (context.dirs()?, context.store()?);
    let mut values = Vec::new();
    for (id, place) in images::mounted(dirs)? {
        // Its names may have been taken away since.
        let names =
            images::resolve(&store, &id.hex()).and_then(|image| images::tags(&store, &image)).unwrap_or_default();
        if as_json {
            values.push(json!({ "id": id.hex(), "Repositories": names, "mountpoint": place }));
        } else {
            context.ui.line(format_args!(
                "{}  {}",
                names.first().cloned().unwrap_or_else(|| id.hex()),
                place.display()
            ))?;
        }
    }
    if as_json {
        json::pretty(context.ui, &values)?;
    }
    Ok(0)
}

pub(crate) fn unmount(args: Unmount, context: &Context<'_>) -> Result<u8> {
    let (dirs, store) = (context.dirs()?, context.store()?);
    let ids = match args.all {
        true => images::mounted(dirs)?.into_iter().map(|(id, _)| id.hex()).collect(),
        false => args.images,
    };
    each(context, ids, |name| {
        let id = images::mounted_id(dirs, &store, &name)?;
        images::unmount(dirs, &id)?;
        context.ui.line(id.hex())
    })
}
