//! `version`, `info`, `completion`, `help`.

use clap::Args;

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
