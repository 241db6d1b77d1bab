//! The per-container parent: log, exit code, attach socket, network helper, clean-up.
