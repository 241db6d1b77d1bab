//! `rpod top`.

use super::Context;
use crate::cli::observe::Top;
use crate::engine::container::{store, top};
use crate::error::{Error, Result};
use crate::output::table;

pub(crate) fn run(args: Top, context: &Context<'_>) -> Result<u8> {
    let words: Vec<String> = args.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let dirs = context.dirs()?;
    let (container, columns) = match words.as_slice() {
        // All words say what to show.
        words if args.latest => (store::latest(dirs)?, words),
        [name, columns @ ..] => {
            let found = store::find(dirs, name);
            (found.map_err(|e| Error::wrap("unable to look up requested container", e))?, columns)
        }
        [] => return Err(Error::new("you must provide the name or id of a running container")),
    };
    let listing = top::top(dirs, &container, columns)?;
    let lines: Vec<Vec<String>> = std::iter::once(listing.headings).chain(listing.rows).collect();
    context.ui.print(&table::render(&lines))?;
    Ok(0)
}
