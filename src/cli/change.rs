//! Verbs that change or clear away containers that exist.

use clap::Args;

use super::health::Health;
use super::limits::Resources;

/// Give a container another name
#[derive(Debug, Args)]
#[command(override_usage = "rpod rename CONTAINER NAME")]
pub(crate) struct Rename {
    #[arg(value_name = "CONTAINER NAME", hide = true)]
    pub words: Vec<String>,
}

/// Change the limits, restart policy or health check of a container
///
/// A running container has them at once where it has a cgroup of its own; a stopped one at its next start.
#[derive(Debug, Args)]
#[command(override_usage = "rpod update [options] CONTAINER")]
pub(crate) struct Update {
    #[command(flatten)]
    pub resources: Resources,
    #[command(flatten)]
    pub health: Health,
    /// Whether to start the program again when it ends: no, on-failure[:TIMES], always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Make another container like one that exists
///
/// Its files are those of the image, not what the other one has made of them. With a third argument it is made of that image.
#[derive(Debug, Args)]
#[command(override_usage = "rpod container clone [options] CONTAINER [NAME [IMAGE]]")]
pub(crate) struct Clone {
    #[command(flatten)]
    pub resources: Resources,
    /// Remove the other container afterwards
    #[arg(long)]
    pub destroy: bool,
    /// Stop it first if it runs, with --destroy
    #[arg(short, long)]
    pub force: bool,
    /// Name of the new container (default the other one's with -clone)
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Start the new container
    #[arg(long)]
    pub run: bool,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub words: Vec<String>,
}

/// Tidy up after containers that have ended
///
/// Nothing of a container outlives it but its files and record; this settles what a killed monitor left, and unmakes what
/// `init` has made.
#[derive(Debug, Args)]
#[command(override_usage = "rpod container cleanup [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Cleanup {
    /// Tidy up after all containers
    #[arg(short, long)]
    pub all: bool,
    /// Tidy up after a session of exec, which does that itself: accepted for compatibility
    #[arg(long, value_name = "SESSION")]
    pub exec: Option<String>,
    /// Tidy up after the container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Remove the containers as well
    #[arg(long)]
    pub rm: bool,
    /// Remove their images as well
    #[arg(long)]
    pub rmi: bool,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Make everything that containers need, without starting their programs
///
/// `rpod start` lets the programs run.
#[derive(Debug, Args)]
#[command(override_usage = "rpod init [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Init {
    /// All containers that do not run
    #[arg(short, long)]
    pub all: bool,
    /// The container that was created last
    #[arg(short, long)]
    pub latest: bool,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
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
