//! `rpod system reset`.

use super::Context;
use super::confirm::confirm;
use crate::cli::space::Reset;
use crate::engine::system::reset;
use crate::error::Result;

pub(crate) fn run(args: Reset, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    if !args.force {
        let volumes = if args.volumes { "all volumes" } else { "all volumes without a name" };
        let question = format!(
            "WARNING! This will remove:\n        - all containers\n        - all images\n        - all networks\n        \
             - all secrets\n        - {volumes}\n        - everything else below {}, {} and {}\nAre you sure you want to continue?",
            dirs.data.display(),
            dirs.host.display(),
            dirs.runtime.display()
        );
        if !confirm(context, &question)? {
            return Ok(0);
        }
    }
    reset::reset(dirs, args.volumes)?;
    Ok(0)
}
