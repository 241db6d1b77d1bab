//! `image prune`, `image tree`, `image mount`, `image unmount`: images and the room they take.

use clap::Args;

/// Remove images that nothing needs
///
/// Without --all, those without a name. Images that a container was made from stay.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Remove every image that no container was made from
    #[arg(short, long)]
    pub all: bool,
    /// Forget the build cache too
    #[arg(long)]
    pub build_cache: bool,
    /// Accepted for compatibility: there are no containers but rpod's own in the store
    #[arg(long)]
    pub external: bool,
    /// Only images that match: label=KEY[=VALUE], label!=KEY, until=TIME (created before)
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Do not ask first
    #[arg(short, long)]
    pub force: bool,
}

/// Show an image's layers as a tree
#[derive(Debug, Args)]
pub(crate) struct Tree {
    /// Show the layers of the images that are built on this one
    #[arg(long)]
    pub whatrequires: bool,
    /// Image to show
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

/// Mount an image's files, read-only
///
/// Prints where. An ordinary user has to be in a session of rpod unshare, and the mount ends with it. Without an image, lists what is
/// mounted.
#[derive(Debug, Args)]
pub(crate) struct Mount {
    /// Mount all images
    #[arg(short, long)]
    pub all: bool,
    /// Print the mounted images in this format
    #[arg(long, value_name = "FORMAT", value_parser = ["json"])]
    pub format: Option<String>,
    /// Images to mount
    #[arg(value_name = "IMAGE", conflicts_with = "all")]
    pub images: Vec<String>,
}

/// Unmount an image's files
#[derive(Debug, Args)]
pub(crate) struct Unmount {
    /// Unmount all images
    #[arg(short, long)]
    pub all: bool,
    /// Accepted for compatibility: a mount is not counted, one unmount ends it
    #[arg(short, long)]
    pub force: bool,
    /// Images to unmount
    #[arg(value_name = "IMAGE", required_unless_present = "all", conflicts_with = "all")]
    pub images: Vec<String>,
}
