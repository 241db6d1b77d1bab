//! `system df`, `system prune`, `system reset`, `system check`.

use clap::Args;

/// Show what takes how much space on the disk
#[derive(Debug, Args)]
pub(crate) struct Df {
    /// Change the output format to JSON or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Show each image, container and volume
    #[arg(short, long)]
    pub verbose: bool,
}

/// Remove what is not used: stopped containers and images without a name
///
/// Volumes that somebody gave a name to always stay.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// All images that no container uses, not only those without a name
    #[arg(short, long)]
    pub all: bool,
    /// Also what builds keep for the next one, and what killed builds left
    #[arg(long)]
    pub build: bool,
    /// Containers of other programs: rpod knows none
    #[arg(long)]
    pub external: bool,
    /// Only what matches: label, label!, until
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Also volumes without a name that no container uses
    #[arg(long)]
    pub volumes: bool,
}

/// Remove all containers, images, networks and secrets, and all that rpod has on the disk
///
/// Running containers are killed. Volumes that somebody gave a name to stay, unless --volumes is given.
#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Also volumes with a name
    #[arg(long)]
    pub volumes: bool,
}

/// Let equal files of different layers share their blocks
///
/// On file systems that can (btrfs, xfs). Containers see no difference: each file stays one of its own, with its own owner, mode and
/// number. On others, --hard-links makes them names of one file.
#[derive(Debug, Args)]
pub(crate) struct Dedup {
    /// Link files with the same content, owner, mode, time and attributes instead, of layers that no image has together and no
    /// container uses. Containers see that such a file has several names
    #[arg(long)]
    pub hard_links: bool,
}

/// Look for damage in what rpod has on the disk
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Remove containers that cannot be mended
    #[arg(short, long)]
    pub force: bool,
    /// How long a layer may be there that no image and no container has
    #[arg(short, long, value_name = "DURATION", default_value = "24h")]
    pub max: String,
    /// Do not read the content of layers
    #[arg(short, long)]
    pub quick: bool,
    /// Mend what can be: what is damaged is removed, so that the next pull fetches it
    #[arg(short, long)]
    pub repair: bool,
}
