//! `rpod version`.

use super::Context;
use crate::cli::system::Version;
use crate::error::Result;

pub(crate) fn run(_args: Version, context: &Context<'_>) -> Result<u8> {
    context.ui.print(&format!(
        "Client:        rpod\nVersion:       {}\nOS/Arch:       {}/{}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    ))?;
    Ok(0)
}
