//! rpod: rootless, daemonless containers.
//!
//! Data flows one way: `main → cli, commands → engine → spec, monitor, image, registry, storage, network → userns →
//! state, config → error, sys`. Arrows may be skipped, never reversed; `tests/architecture.rs` checks it.

mod cli;
mod commands;
mod config;
mod engine;
mod error;
mod image;
mod monitor;
mod network;
mod output;
mod registry;
mod runtime;
mod spec;
mod state;
mod storage;
mod sys;
mod userns;

fn main() {}
