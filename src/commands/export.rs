//! `rpod export`.

use std::fs::File;
use std::os::fd::AsFd;

use super::Context;
use crate::cli::files::Export;
use crate::engine::container::files::export;
use crate::engine::container::store;
use crate::error::{Context as _, Error, Result};
use crate::state::given;

pub(crate) fn run(args: Export, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let Some(path) = &args.output else {
        if context.ui.stdout_is_terminal() {
            return Err(Error::new("refusing to export to terminal. Use -o flag or redirect"));
        }
        let container = store::find(dirs, &args.container)?;
        let out = std::io::stdout().as_fd().try_clone_to_owned().context(|| "cannot write to standard output")?;
        export::export(&context.store()?, &container, &File::from(out))?;
        return Ok(0);
    };
    let container = store::find(dirs, &args.container)?;
    let file = given::create(path).context(|| format!("cannot create {}", path.display()))?;
    let is_file = file.metadata().is_ok_and(|meta| meta.is_file());
    let exported = export::export(&context.store()?, &container, &file);
    if exported.is_err() && is_file {
        // Half an archive is worse than none; the error that matters is the first.
        let _ = std::fs::remove_file(path);
    }
    exported.map(|()| 0)
}
