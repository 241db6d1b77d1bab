//! `rpod builder version`, `rpod buildx version`.

use super::Context;
use crate::cli::build::Version;
use crate::error::Result;

pub(crate) fn run(_: Version, context: &Context<'_>) -> Result<u8> {
    context.ui.line(format_args!("rpod {}", env!("CARGO_PKG_VERSION")))?;
    Ok(0)
}
