//! Doing something to several containers: the others are not left alone because one failed.

use super::Context;
use crate::error::Result;
use crate::output;

/// Calls `action` for each item. Every error but the last is reported here, the last one is returned.
pub(super) fn each<T>(
    context: &Context<'_>,
    items: impl IntoIterator<Item = T>,
    mut action: impl FnMut(T) -> Result<()>,
) -> Result<u8> {
    let mut last = None;
    for item in items {
        if let Err(error) = action(item)
            && let Some(earlier) = last.replace(error)
        {
            output::report::error(context.ui, &earlier);
        }
    }
    last.map_or(Ok(0), Err)
}
