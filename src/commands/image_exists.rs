//! `rpod image exists`.

use super::Context;
use crate::cli::image::Exists;
use crate::engine::images;
use crate::error::{Kind, Result};

pub(crate) fn run(args: Exists, context: &Context<'_>) -> Result<u8> {
    images::check_name(&args.image)?;
    let store = context.store()?;
    match images::resolve(&store, &args.image) {
        Ok(_) => Ok(0),
        Err(error) if error.kind() == Kind::NoSuchObject => Ok(1),
        Err(error) => Err(error),
    }
}
