//! `rpod network update`.

use super::Context;
use crate::cli::network::Update;
use crate::engine::network::update;
use crate::error::Result;

pub(crate) fn run(args: Update, context: &Context<'_>) -> Result<u8> {
    let network = update::servers(context.dirs()?, &args.network, &args.dns_add, &args.dns_drop)?;
    context.ui.line(&network.name)?;
    Ok(0)
}
