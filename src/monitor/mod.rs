//! The per-container parent: log, exit code, attach socket, network helper, clean-up.

pub(crate) mod log;
pub(crate) mod protocol;
pub(crate) mod state;
