//! `push`, and what else speaks with registries.

use std::path::PathBuf;

use clap::Args;

use super::image::RegistryFlags;

/// Push an image to a registry, an archive or a directory
///
/// Layers that the registry has already are not sent again, and a manifest goes out as it came when the registry gets the same
/// layers. Without a destination the image's own name says where it goes.
#[derive(Debug, Args)]
pub(crate) struct Push {
    #[command(flatten)]
    pub registry: RegistryFlags,
    /// Push all images of a manifest list, not only this machine's
    #[arg(long)]
    pub all: bool,
    /// Compress the layers of a dir: destination
    #[arg(long)]
    pub compress: bool,
    /// How to compress layers: gzip or zstd
    #[arg(long, value_name = "FORMAT")]
    pub compression_format: Option<String>,
    /// Level of the compression: 1-9 for gzip, 1-22 for zstd
    #[arg(long, value_name = "LEVEL")]
    pub compression_level: Option<i32>,
    /// Write the digest of the pushed manifest to this file
    #[arg(long, value_name = "FILE")]
    pub digestfile: Option<PathBuf>,
    /// Do not use layers that the registry has in another compression (the default with --compression-format)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub force_compression: Option<bool>,
    /// Kind of manifest: oci or v2s2
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Do not show progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Accepted for compatibility: signatures are never copied
    #[arg(long)]
    pub remove_signatures: bool,
    /// Sign what was pushed with this gpg key; the signature goes where registries.d wants new ones
    #[arg(long, value_name = "KEY")]
    pub sign_by: Option<String>,
    /// Accepted for compatibility with Docker, as in Podman
    #[arg(long, hide = true)]
    pub disable_content_trust: bool,
    /// Image to push
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Where to: [TRANSPORT:]NAME
    #[arg(value_name = "DESTINATION")]
    pub destination: Option<String>,
}

/// Search registries for images
///
/// TERM may begin with a registry (reg.example/app); otherwise docker.io is searched, or where registries.conf looks for short
/// names.
#[derive(Debug, Args)]
pub(crate) struct Search {
    #[command(flatten)]
    pub registry: RegistryFlags,
    /// Show stars, official and automated too, as Docker does
    #[arg(long)]
    pub compatible: bool,
    /// Show only images that match: stars=N, is-official, is-automated
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Change the output format to JSON or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Show at most so many results
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// List the tags of the repository TERM
    #[arg(long)]
    pub list_tags: bool,
    /// Do not shorten descriptions
    #[arg(long)]
    pub no_trunc: bool,
    /// What to search for
    #[arg(value_name = "TERM")]
    pub term: String,
}

/// Copy an image from one host to another through ssh
///
/// A host is written [USER@]HOST[:PORT]::, before an image that is there, or alone as the destination. It needs rpod, Podman or
/// Docker. $RPOD_SSH is used instead of ssh.
#[derive(Debug, Args)]
pub(crate) struct Scp {
    /// Do not show progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Image to copy: [HOST::]IMAGE
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Where to: HOST::, or nothing for this host
    #[arg(value_name = "DESTINATION")]
    pub destination: Option<String>,
}
