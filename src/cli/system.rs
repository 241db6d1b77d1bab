//! `version`, `info`, `completion`, `help`, `unshare`.

use std::ffi::OsString;
use std::path::PathBuf;

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
