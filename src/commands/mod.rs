//! One file per verb: arguments → engine → view.
//!
//! `run(args, context) -> Result<u8>` does the work and answers the exit code. The table of verbs is in [`table`].

mod attach;
mod completion;
mod confirm;
mod container_exists;
mod container_prune;
mod context;
mod create;
mod create_options;
mod dispatch;
mod each;
mod events;
mod exec;
#[cfg(test)]
mod flags;
mod foreground;
mod healthcheck_run;
mod help;
mod history;
mod image_exists;
mod image_inspect;
mod image_mount;
mod image_prune;
mod image_tree;
mod images;
mod import;
mod info;
mod inspect;
mod kill;
mod load;
mod login;
mod logs;
#[cfg(test)]
mod man;
mod manifest;
mod network_connect;
mod network_create;
mod network_exists;
mod network_inspect;
mod network_ls;
mod network_mode;
mod network_prune;
mod network_rm;
mod network_update;
mod pause;
mod port;
mod ps;
mod pull;
mod push;
mod rename;
mod restart;
mod rm;
mod rmi;
mod run;
mod save;
mod scp;
mod search;
mod start;
mod stats;
mod stop;
mod table;
mod tag;
mod top;
mod tree;
mod trust;
mod unpause;
mod unshare;
mod version;
mod wait;

pub(crate) use context::Context;
pub(crate) use dispatch::dispatch;
