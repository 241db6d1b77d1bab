//! `volume …` and `secret …`.

use std::path::PathBuf;

use clap::Args;

/// Create a volume
#[derive(Debug, Args)]
#[command(override_usage = "rpod volume create [options] [NAME]")]
pub(crate) struct Create {
    /// Name of the driver: local is the only one
    #[arg(short, long, value_name = "DRIVER", default_value = "local")]
    pub driver: String,
    /// A volume of that name that is there already is no error
    #[arg(long)]
    pub ignore: bool,
    /// Set a label
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Set an option of the driver: type, device, o (as mount(8) has them), copy, nocopy
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub opt: Vec<String>,
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Check whether a volume exists
#[derive(Debug, Args)]
pub(crate) struct Exists {
    #[arg(value_name = "VOLUME")]
    pub volume: String,
}

/// Write the content of a volume as a tar
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[arg(value_name = "VOLUME")]
    pub volume: String,
}

/// Put the content of a tar into a volume
///
/// What the volume has stays, unless the tar has something of the same name.
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[arg(value_name = "VOLUME")]
    pub volume: String,
    /// The tar; `-` is standard input
    #[arg(value_name = "SOURCE", default_value = "-")]
    pub source: String,
}

/// Show everything about volumes
#[derive(Debug, Args)]
#[command(override_usage = "rpod volume inspect [options] VOLUME [VOLUME...]")]
pub(crate) struct Inspect {
    /// All volumes
    #[arg(short, long)]
    pub all: bool,
    /// Change the output format to JSON or a Go template
    #[arg(short, long, value_name = "FORMAT", default_value = "json")]
    pub format: String,
    #[arg(value_name = "VOLUME", hide = true)]
    pub volumes: Vec<String>,
}

/// List volumes
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only volumes that match: anonymous, dangling, driver, label, label!, name, opt, scope, since, until
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Change the output format to JSON or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Do not print the heading
    #[arg(short, long)]
    pub noheading: bool,
    /// Print only names
    #[arg(short, long)]
    pub quiet: bool,
}

/// Print where the files of volumes are
///
/// Their owners are those of the containers' user namespace, so this is for inside `rpod unshare`.
#[derive(Debug, Args)]
pub(crate) struct Mount {
    #[arg(value_name = "VOLUME", required = true)]
    pub volumes: Vec<String>,
}

/// Undo `volume mount`, which leaves nothing to be undone
#[derive(Debug, Args)]
pub(crate) struct Unmount {
    #[arg(value_name = "VOLUME", required = true)]
    pub volumes: Vec<String>,
}

/// Remove volumes that no container uses
///
/// Volumes that somebody gave a name to stay, unless --all is given.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Also volumes with a name
    #[arg(short, long)]
    pub all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Only volumes that match: as for volume ls
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
}

/// Remove volumes
#[derive(Debug, Args)]
#[command(override_usage = "rpod volume rm [options] VOLUME [VOLUME...]")]
pub(crate) struct Rm {
    /// Remove all volumes
    #[arg(short, long)]
    pub all: bool,
    /// Remove the containers that use them as well; a volume that is not there is no error
    #[arg(short, long)]
    pub force: bool,
    /// Seconds that --force gives a running container to stop
    #[arg(short, long, value_name = "SECONDS")]
    pub time: Option<i64>,
    #[arg(value_name = "VOLUME", hide = true)]
    pub volumes: Vec<String>,
}
