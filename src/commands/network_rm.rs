//! `rpod network rm`.

use super::Context;
use super::each::each;
use crate::cli::network::Rm;
use crate::engine::network::remove::{self, Force};
use crate::error::{Error, Kind, Result};
use crate::output;

pub(crate) fn run(args: Rm, context: &Context<'_>) -> Result<u8> {
    if args.networks.is_empty() {
        return Err(Error::new("requires at least 1 arg(s), only received 0"));
    }
    if args.time.is_some() && !args.force {
        return Err(Error::new("--force option must be specified to use the --time option"));
    }
    let dirs = context.dirs()?;
    let force = Force { force: args.force, seconds: args.time };
    let removed = each(context, &args.networks, |name| match remove::remove(dirs, name, force) {
        Ok(()) => context.ui.line(name),
        Err(error) if args.force && error.kind() == Kind::NoSuchObject => Ok(()),
        Err(error) => Err(error),
    });
    removed.or_else(|error| {
        let code = match error.kind() {
            Kind::NoSuchObject => 1,
            Kind::Conflict => 2,
            _ => return Err(error),
        };
        output::report::error(context.ui, &error);
        Ok(code)
    })
}
