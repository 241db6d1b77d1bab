//! `version`, `info`, `events`, `completion`, `help`, `unshare`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

/// Display the rpod version information
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// Change the output format to JSON or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
}

/// Help about any command
#[derive(Debug, Args)]
pub(crate) struct Help {
    /// The words of a command
    #[arg(value_name = "COMMAND")]
    pub words: Vec<String>,
}

/// Generate shell completion scripts
///
/// bash: rpod completion bash > ~/.local/share/bash-completion/completions/rpod
///
/// zsh: rpod completion zsh > "${fpath[1]}/_rpod"
///
/// fish: rpod completion fish > ~/.config/fish/completions/rpod.fish
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// The shell the script is for
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,

    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// Run a command in a modified user namespace
///
/// The command is root of a new user and mount namespace in which the user's subordinate ids exist: for a look at, or the
/// removal of, files that belong to them. Without a command it is $SHELL.
#[derive(Debug, Args)]
#[command(override_usage = "rpod unshare [COMMAND [ARG...]]")]
pub(crate) struct Unshare {
    /// The command and its arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub words: Vec<OsString>,
}

/// Display system information
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Change the output format to JSON or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,

    /// Accepted for Podman's sake
    #[arg(short = 'D', long, hide = true)]
    pub debug: bool,
}

/// Show what happened to containers, images, volumes and networks
///
/// Events are kept across reboots. Without --since only those to come are shown.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Only events that match: container=, event=, image=, label=, network=, pod=, type=, volume=
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,

    /// Change the output format to JSON or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,

    /// Show IDs in full (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub no_trunc: Option<bool>,

    /// Show events since a time (2026-01-02T15:04:05) or for a duration (10m)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,

    /// Wait for events to come (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub stream: Option<bool>,

    /// Show events until a time or a duration ago
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}
