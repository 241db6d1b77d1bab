//! `rpod rmi`, `rpod image rm`.

use super::Context;
use super::collect::collect;
use crate::cli::image::Rmi;
use crate::engine::container::lifecycle::{self, Removal};
use crate::engine::container::{elsewhere, store};
use crate::engine::events;
use crate::engine::images::{self, RemoveOptions};
use crate::error::{Error, Kind, Result};
use crate::image::digest::Digest;
use crate::output::report;
use crate::state::paths::Dirs;

pub(crate) fn run(args: Rmi, context: &Context<'_>) -> Result<u8> {
    if args.images.is_empty() && !args.all {
        return Err(Error::new("image name or ID must be specified"));
    }
    if args.all && !args.images.is_empty() {
        return Err(Error::new("when using the --all switch, you may not pass any images names or IDs"));
    }
    let dirs = context.dirs()?;
    let store = context.store()?;
    // With --all an image goes with all its names.
    let options = RemoveOptions { force: args.force, ignore: args.ignore, all_names: args.all };
    let names = if args.all { images::everything(&store)? } else { args.images };
    let mut code = 0;
    let mut deleted = Vec::new();
    for name in &names {
        let checked = images::check_name(name);
        let removed = || images::remove(&store, name, options, &|image| users(dirs, image, args.force));
        match checked.and_then(|()| removed()) {
            Ok(removal) => {
                for name in &removal.untagged {
                    events::image(dirs, "untag", &removal.id, name);
                    context.ui.line(format_args!("Untagged: {name}"))?;
                }
                let first = removal.untagged.first().map_or("", String::as_str);
                // One that was not there and need not be has no id.
                if !removal.id.is_empty() {
                    events::image(dirs, "remove", &removal.id, first);
                }
                deleted.extend(removal.deleted);
            }
            Err(error) => {
                code = code.max(exit_code(&error));
                report::error(context.ui, &error);
            }
        }
    }
    collect(context, &store)?;
    deleted.iter().try_for_each(|id| context.ui.line(format_args!("Deleted: {id}")))?;
    Ok(code)
}

/// The containers that were made from an image. With `--force` they are removed, as Podman does it.
fn users(dirs: &Dirs, image: &Digest, force: bool) -> Result<Vec<String>> {
    if let Some(used) = elsewhere::uses(dirs)?.iter().find(|used| used.image_id == image.hex()) {
        return Err(used.refuse("the image"));
    }
    let mut users = Vec::new();
    for container in store::list(dirs)?.into_iter().filter(|c| c.record.image_id == image.hex()) {
        if force {
            lifecycle::remove(dirs, &container, Removal { force: true, seconds: None, volumes: false })?;
        } else {
            users.push(format!("{} ({})", container.record.id, container.record.name));
        }
    }
    Ok(users)
}

/// Podman's: 1 when there is no such image, 2 when a container uses it.
fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        Kind::NoSuchObject => 1,
        Kind::Conflict => 2,
        _ => 125,
    }
}
