//! `secret …`.

use clap::Args;

/// Keep a secret for containers
#[derive(Debug, Args)]
#[command(override_usage = "rpod secret create [options] NAME FILE|-")]
pub(crate) struct Create {
    /// Name of the driver: file is the only one
    #[arg(short, long, value_name = "DRIVER", default_value = "file")]
    pub driver: String,
    /// Set an option of the driver
    #[arg(long, value_name = "KEY=VALUE")]
    pub driver_opts: Vec<String>,
    /// Read the secret from the environment variable of that name
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new())]
    pub env: Option<bool>,
    /// A secret of that name that is there already stays, and is no error
    #[arg(long)]
    pub ignore: bool,
    /// Set a label
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Put it in the place of a secret of that name
    #[arg(long)]
    pub replace: bool,
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where the secret is read from; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: String,
}

/// Check whether a secret exists
#[derive(Debug, Args)]
pub(crate) struct Exists {
    #[arg(value_name = "SECRET")]
    pub secret: String,
}

/// Show everything about secrets, but not themselves
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Change the output format to JSON or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Print a few lines for people
    #[arg(long)]
    pub pretty: bool,
    /// Show the secret itself as well
    #[arg(long)]
    pub showsecret: bool,
    #[arg(value_name = "SECRET", required = true)]
    pub secrets: Vec<String>,
}

/// List secrets
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only secrets that match: name, id
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Change the output format to JSON or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Do not print the heading
    #[arg(short, long)]
    pub noheading: bool,
    /// Print only IDs
    #[arg(short, long)]
    pub quiet: bool,
}

/// Forget secrets
#[derive(Debug, Args)]
#[command(override_usage = "rpod secret rm [options] SECRET [SECRET...]")]
pub(crate) struct Rm {
    /// All secrets
    #[arg(short, long)]
    pub all: bool,
    /// A secret that is not there is no error
    #[arg(short, long)]
    pub ignore: bool,
    #[arg(value_name = "SECRET", hide = true)]
    pub secrets: Vec<String>,
}
