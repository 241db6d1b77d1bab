//! `rpod container cleanup`.

use super::Context;
use super::collect::collect;
use super::each::each;
use crate::cli::change::Cleanup;
use crate::engine::container::lifecycle::{self, Removal};
use crate::engine::container::select::Selection;
use crate::engine::container::store::{self, Container};
use crate::engine::container::{cleanup, elsewhere};
use crate::engine::images::{self, RemoveOptions};
use crate::error::{Error, Result};
use crate::image::digest::Digest;

pub(crate) fn run(args: Cleanup, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    if args.all && !args.containers.is_empty() {
        return Err(Error::new("no arguments are needed with --all"));
    }
    if args.exec.is_some() {
        if args.all || args.rmi || args.containers.len() > 1 {
            return Err(Error::new("--exec goes with one container, and not with --rmi"));
        }
        // The session's keeper has seen to it.
        return Ok(0);
    }
    let selection =
        Selection { names: &args.containers, all: args.all, latest: args.latest, ignore: true, ..Selection::default() };
    let containers = selection.resolve(dirs, "you must provide at least one name or id")?;
    each(context, &containers, |(name, container)| {
        cleanup::cleanup(dirs, container)?;
        if args.rm {
            lifecycle::remove(dirs, container, Removal { force: false, seconds: None, volumes: true }).map_err(
                |error| {
                    Error::wrap(format!("failed to clean up and remove container {}", container.id()), error)
                        .with_kind(crate::error::Kind::General)
                },
            )?;
        }
        if args.rmi {
            remove_image(container, context)?;
        }
        context.ui.line(name)
    })
}

fn remove_image(container: &Container, context: &Context<'_>) -> Result<()> {
    let (dirs, store) = (context.dirs()?, context.store()?);
    let users = |image: &Digest| -> Result<Vec<String>> {
        if let Some(used) = elsewhere::uses(dirs)?.iter().find(|used| used.image_id == image.hex()) {
            return Err(used.refuse("the image"));
        }
        let containers = store::list(dirs)?.into_iter().filter(|c| c.record.image_id == image.hex());
        Ok(containers.map(|container| container.record.id).collect())
    };
    images::remove(&store, &container.record.image, RemoveOptions::default(), &users)
        .map_err(|error| Error::wrap("cannot remove the image", error).with_kind(crate::error::Kind::General))?;
    collect(context, &store)
}
