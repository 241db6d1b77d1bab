//! Asking before something is removed.

use std::io::BufRead;

use super::Context;
use crate::error::{Context as _, Error, Result};

/// Prints `question` with `[y/N]` behind it; only an answer that begins with y is a yes. At the end of the input
/// nobody has answered.
pub(super) fn confirm(context: &Context<'_>, question: &str) -> Result<bool> {
    context.ui.print(&format!("{question} [y/N] "))?;
    context.ui.flush()?;
    let mut answer = String::new();
    if std::io::stdin().lock().read_line(&mut answer).context(|| "cannot read the answer")? == 0 {
        return Err(Error::new("EOF").hint("--force removes without a question"));
    }
    Ok(answer.trim_start().to_lowercase().starts_with('y'))
}
