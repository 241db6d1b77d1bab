//! `rpod network update`.

use super::Context;
use crate::cli::network::Update;
use crate::engine::network::update;
use crate::error::{Error, Result};

pub(crate) fn run(args: Update, context: &Context<'_>) -> Result<u8> {
    if args.dns_add.is_empty() && args.dns_drop.is_empty() {
        return Err(Error::new("nothing to update: give --dns-add or --dns-drop"));
    }
    let network = update::servers(context.dirs()?, &args.network, &args.dns_add, &args.dns_drop)?;
    context.ui.line(&network.name)?;
    Ok(0)
}
