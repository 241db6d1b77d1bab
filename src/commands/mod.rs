//! One file per verb: arguments → engine → view.
//!
//! `run(args, context) -> Result<u8>` does the work and answers the exit code. The table of verbs is in [`table`].

mod completion;
mod context;
mod dispatch;
mod help;
mod history;
mod image_exists;
mod image_inspect;
mod images;
mod import;
mod info;
mod load;
#[cfg(test)]
mod man;
mod pull;
mod rmi;
mod save;
mod table;
mod tag;
mod tree;
mod version;

pub(crate) use context::Context;
pub(crate) use dispatch::dispatch;
