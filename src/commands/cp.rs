//! `rpod cp`.

use std::os::fd::AsFd;

use super::Context;
use crate::cli::files::Cp;
use crate::engine::container::files::cp::{self, Access, CopyOptions, Inside, Side};
use crate::engine::container::store;
use crate::error::{Context as _, Error, Result};

pub(crate) fn run(args: Cp, context: &Context<'_>) -> Result<u8> {
    cp::check(&args.source, &args.destination)?;
    if args.destination == "-" && context.ui.stdout_is_terminal() {
        return Err(Error::new("refusing to copy to terminal. Redirect standard output"));
    }
    let source = side(&args.source, Access::Read, context, || std::io::stdin().as_fd().try_clone_to_owned())?;
    let destination =
        side(&args.destination, Access::Write, context, || std::io::stdout().as_fd().try_clone_to_owned())?;
    let options = CopyOptions { archive: args.archive.unwrap_or(true), overwrite: args.overwrite };
    cp::copy(&source, &destination, options)?.iter().for_each(|warning| context.ui.warn(warning));
    Ok(0)
}

fn side(
    word: &str,
    access: Access,
    context: &Context<'_>,
    stream: impl FnOnce() -> std::io::Result<std::os::fd::OwnedFd>,
) -> Result<Side> {
    match cp::parse(word) {
        (Some(name), path) => {
            let dirs = context.dirs()?;
            Ok(Side::Container(Box::new(Inside::open(dirs, &store::find(dirs, name)?, access)?), path.to_owned()))
        }
        (None, "-") => Ok(Side::Stream(stream().context(|| "cannot use the standard streams")?)),
        (None, path) => Ok(Side::Host(path.to_owned())),
    }
}
