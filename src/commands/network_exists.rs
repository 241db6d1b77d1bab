//! `rpod network exists`.

use super::Context;
use crate::cli::network::Exists;
use crate::engine::network::store;
use crate::error::{Kind, Result};

pub(crate) fn run(args: Exists, context: &Context<'_>) -> Result<u8> {
    match store::find(context.dirs()?, &args.network) {
        Ok(_) => Ok(0),
        Err(error) if error.kind() == Kind::NoSuchObject => Ok(1),
        Err(error) => Err(error),
    }
}
