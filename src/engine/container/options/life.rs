//! What becomes of the container while nobody looks: `--restart`, `--timeout`.

use crate::error::{Error, Result};
use crate::monitor::restart::Policy;

/// What its monitor is asked to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life {
    pub restart: Policy,
    /// Seconds that the program may run; 0: without a limit.
    pub timeout: u32,
}

/// `--restart`.
pub(crate) fn restart(text: Option<&str>, rm: bool) -> Result<Policy> {
    let policy = text.unwrap_or_default();
    let policy = Policy::parse(policy).ok_or_else(|| {
        Error::new(format!("{policy:?} is not a valid restart policy: invalid argument"))
            .hint("choose from: no, on-failure[:TIMES], always, unless-stopped")
    })?;
    if rm && !policy.is_no() {
        return Err(Error::new(
            "the --rm option conflicts with --restart, when the restartPolicy is not \"\" and \"no\"",
        ));
    }
    Ok(policy)
}
