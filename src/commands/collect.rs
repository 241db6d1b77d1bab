//! What verbs that take names away do last.

use super::Context;
use crate::engine::images;
use crate::error::Result;
use crate::storage::Store;

/// Frees what no name leads to any more. The names have gone, so a store that does not tell what is in use is worth a
/// warning and no failure: whoever collects next finds the same garbage.
pub(super) fn collect(context: &Context<'_>, store: &Store) -> Result<()> {
    if let Err(error) = images::collect(context.dirs()?, store) {
        context.ui.warn(format_args!("what was removed still takes room: {error}"));
        error.hints().iter().for_each(|hint| context.ui.note(format_args!("hint: {hint}")));
    }
    Ok(())
}
