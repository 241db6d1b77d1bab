//! Verbs that change or clear away containers that exist.

use clap::Args;

/// Give a container another name
#[derive(Debug, Args)]
#[command(override_usage = "rpod rename CONTAINER NAME")]
pub(crate) struct Rename {
    #[arg(value_name = "CONTAINER NAME", hide = true)]
    pub words: Vec<String>,
}

/// Remove all containers that do not run
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Only containers that match: label=KEY[=VALUE], label!=KEY, until=TIME (created before)
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Do not ask first
    #[arg(short, long)]
    pub force: bool,
}
