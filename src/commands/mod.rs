//! One file per verb: arguments → engine → view.
//!
//! `run(args, context) -> Result<u8>` does the work and answers the exit code. The table of verbs is in [`table`].

mod completion;
mod context;
mod dispatch;
mod help;
mod info;
#[cfg(test)]
mod man;
mod table;
mod tree;
mod version;

pub(crate) use context::Context;
pub(crate) use dispatch::dispatch;
