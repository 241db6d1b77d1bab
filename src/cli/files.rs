//! Verbs on the files of containers and images: `commit`, `cp`, `diff`, `export`, `mount`, `unmount`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

/// Show what has changed in the file system of a container or image
///
/// A container is compared with its image, an image with the layers below its last one, or either with the second
/// argument. A path was added (A), changed (C) or deleted (D).
#[derive(Debug, Args)]
#[command(override_usage = "rpod diff [options] {CONTAINER|IMAGE} [{CONTAINER|IMAGE}]")]
pub(crate) struct Diff {
    /// Change the output format (json)
    #[arg(long, value_name = "FORMAT", value_parser = ["json", ""])]
    pub format: Option<String>,
    /// The container that was created last
    #[arg(short, long)]
    pub latest: bool,
    #[arg(value_name = "CONTAINER|IMAGE", num_args = 0..=2, hide = true)]
    pub names: Vec<String>,
}

/// Show what has changed in the file system of an image
#[derive(Debug, Args)]
pub(crate) struct DiffImage {
    /// Change the output format (json)
    #[arg(long, value_name = "FORMAT", value_parser = ["json", ""])]
    pub format: Option<String>,
    #[arg(value_name = "IMAGE", required = true, num_args = 1..=2)]
    pub names: Vec<String>,
}

/// Show what has changed in the file system of a container
#[derive(Debug, Args)]
pub(crate) struct DiffContainer {
    /// Change the output format (json)
    #[arg(long, value_name = "FORMAT", value_parser = ["json", ""])]
    pub format: Option<String>,
    /// The container that was created last
    #[arg(short, long)]
    pub latest: bool,
    #[arg(value_name = "CONTAINER", num_args = 0..=2, hide = true)]
    pub names: Vec<String>,
}

/// Make an image of a container's changes
///
/// What the container has in volumes is not part of it.
#[derive(Debug, Args)]
pub(crate) struct Commit {
    /// Author of the image
    #[arg(short, long, value_name = "AUTHOR")]
    pub author: Option<String>,
    /// Apply a Dockerfile instruction to the image: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL,
    /// STOPSIGNAL, USER, VOLUME or WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// Format of the manifest
    #[arg(short, long, value_name = "FORMAT", default_value = "oci", value_parser = ["oci", "docker"])]
    pub format: String,
    /// Write the image's ID to a file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
    /// The container's volumes become volumes of the image
    #[arg(long)]
    pub include_volumes: bool,
    /// Message for the image's history
    #[arg(short, long, value_name = "MESSAGE")]
    pub message: Option<String>,
    /// Stop the container's processes meanwhile
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub pause: Option<bool>,
    /// Print nothing but the ID
    #[arg(short, long)]
    pub quiet: bool,
    /// One layer for the whole image
    #[arg(short, long)]
    pub squash: bool,
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
}

/// Write the file system of a container as a tar
///
/// What is in volumes is not part of it.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

/// Mount the file system of a container and print where
///
/// A mount belongs to a mount namespace, so this is for inside `rpod unshare`, and ends with it. Without a container, what
/// is mounted there is listed.
#[derive(Debug, Args)]
#[command(override_usage = "rpod mount [options] [CONTAINER...]")]
pub(crate) struct Mount {
    /// Mount all containers
    #[arg(short, long)]
    pub all: bool,
    /// Change the output format (json)
    #[arg(long, value_name = "FORMAT", value_parser = ["json", ""])]
    pub format: Option<String>,
    /// The container that was created last
    #[arg(short, long)]
    pub latest: bool,
    /// Do not shorten IDs
    #[arg(long)]
    pub no_trunc: bool,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Unmount the file systems of containers
#[derive(Debug, Args)]
#[command(override_usage = "rpod unmount [options] CONTAINER [CONTAINER...]")]
pub(crate) struct Unmount {
    /// Unmount all that are mounted
    #[arg(short, long)]
    pub all: bool,
    /// Also while it is in use
    #[arg(short, long)]
    pub force: bool,
    /// The container that was created last
    #[arg(short, long)]
    pub latest: bool,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Copy files and directories into a container, out of one, or from one to another
///
/// One or both of the paths are in a container, which may run or not: CONTAINER:PATH. A path of `-` is a tar on standard
/// input or output. A directory goes into a destination that is there; with `/.` at the end of the source, what is in it
/// does.
#[derive(Debug, Args)]
#[command(override_usage = "rpod cp [options] [CONTAINER:]SRC_PATH [CONTAINER:]DEST_PATH")]
pub(crate) struct Cp {
    /// What is copied into a container belongs to its user; with false, to whom it belonged
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub archive: Option<bool>,
    /// Accepted for compatibility: a link given as the source is always followed
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Let directories and other files replace each other
    #[arg(long)]
    pub overwrite: bool,
    /// Accepted for compatibility: nothing is shown while copying
    #[arg(short, long, hide = true)]
    pub quiet: bool,
    #[arg(value_name = "SRC_PATH")]
    pub source: String,
    #[arg(value_name = "DEST_PATH")]
    pub destination: String,
}
