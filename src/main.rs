//! rpod: rootless, daemonless containers.
//!
//! Data flows one way: `main → cli, commands → engine → spec, monitor, image, registry, storage, network → userns →
//! state, config → error, sys`. Arrows may be skipped, never reversed; a test in `architecture.rs` checks it.

#[cfg(test)]
mod architecture;
mod build;
mod cli;
mod commands;
mod config;
mod engine;
mod error;
mod glob;
mod human;
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
mod systemd;
mod userns;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything is made or started.
    sys::umask::set_usual();
    sys::signal::ignore_file_size_limit();
    let ui = output::ui::Ui::standard();
    let code = match commands::dispatch(std::env::args_os().skip(1).collect(), &ui) {
        Ok(code) => code,
        Err(error) => {
            output::report::error(&ui, &error);
            error.kind().exit_code()
        }
    };
    ExitCode::from(ui.finish(code))
}
