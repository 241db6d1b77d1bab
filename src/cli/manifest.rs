//! `manifest …`

use std::path::PathBuf;

use clap::Args;

use super::image::RegistryFlags;

/// Create a manifest list, and add images to it
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    pub registry: RegistryFlags,
    /// Add all images of lists, not only this machine's
    #[arg(long)]
    pub all: bool,
    /// Add to the list if it is there
    #[arg(short, long)]
    pub amend: bool,
    /// Annotate the list
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,
    /// Name of the list
    #[arg(value_name = "LIST")]
    pub list: String,
    /// Images to add
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// What is said about an image of a list.
#[derive(Debug, Args)]
pub(crate) struct NoteFlags {
    /// Annotate the image
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,
    /// Architecture of the image
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// Features that the image needs of the processor
    #[arg(long, value_name = "FEATURE")]
    pub features: Vec<String>,
    /// Operating system of the image
    #[arg(long, value_name = "OS")]
    pub os: Option<String>,
    /// Features that the image needs of the operating system
    #[arg(long, value_name = "FEATURE")]
    pub os_features: Vec<String>,
    /// Version of the operating system
    #[arg(long, value_name = "VERSION")]
    pub os_version: Option<String>,
    /// Variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    pub variant: Option<String>,
}

/// Add images to a manifest list
///
/// An image that is not here is brought from its registry, so that the list can be pushed as a whole.
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    pub registry: RegistryFlags,
    #[command(flatten)]
    pub notes: NoteFlags,
    /// Add all images of a list, not only this machine's
    #[arg(long)]
    pub all: bool,
    /// List to add to
    #[arg(value_name = "LIST")]
    pub list: String,
    /// Images to add
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// Change what a manifest list says about an image
#[derive(Debug, Args)]
pub(crate) struct Annotate {
    #[command(flatten)]
    pub notes: NoteFlags,
    /// Annotate the list itself
    #[arg(long)]
    pub index: bool,
    /// List to change
    #[arg(value_name = "LIST")]
    pub list: String,
    /// Image, by its digest or its name
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
}

/// Display a manifest list
///
/// One that is here, otherwise what the registry has under that name.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub registry: RegistryFlags,
    /// List to show
    #[arg(value_name = "LIST")]
    pub list: String,
}

/// Push a manifest list and its images to a registry, a directory or an archive
///
/// Without its images (--all=false) a list goes to registries only; elsewhere its image for this machine is written.
#[derive(Debug, Args)]
pub(crate) struct Push {
    #[command(flatten)]
    pub registry: RegistryFlags,
    /// Push the images too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub all: Option<bool>,
    /// How to compress layers: gzip or zstd
    #[arg(long, value_name = "FORMAT")]
    pub compression_format: Option<String>,
    /// Level of the compression: 1-9 for gzip, 1-22 for zstd
    #[arg(long, value_name = "LEVEL")]
    pub compression_level: Option<i32>,
    /// Write the digest of the pushed list to this file
    #[arg(long, value_name = "FILE")]
    pub digestfile: Option<PathBuf>,
    /// Do not use layers that the registry has in another compression
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub force_compression: Option<bool>,
    /// Kind of list and manifests: oci or v2s2
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Do not show progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Accepted for compatibility: signatures are never copied
    #[arg(long)]
    pub remove_signatures: bool,
    /// Forget the list when it has been pushed
    #[arg(long)]
    pub rm: bool,
    /// Sign the pushed list with this gpg key; the signature goes where registries.d wants new ones
    #[arg(long, value_name = "KEY")]
    pub sign_by: Option<String>,
    /// List to push
    #[arg(value_name = "LIST")]
    pub list: String,
    /// Where to, also dir:, oci: or oci-archive:; its own name if not said
    #[arg(value_name = "DESTINATION")]
    pub destination: Option<String>,
}

/// Take an image from a manifest list
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// List to change
    #[arg(value_name = "LIST")]
    pub list: String,
    /// Image, by its digest or its name
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

/// Forget manifest lists; their images stay
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// What does not exist is no error
    #[arg(short, long)]
    pub ignore: bool,
    /// Lists to forget
    #[arg(required = true, value_name = "LIST")]
    pub lists: Vec<String>,
}

/// Check whether a manifest list is here: exit code 0 or 1
#[derive(Debug, Args)]
pub(crate) struct Exists {
    /// List to look for
    #[arg(value_name = "LIST")]
    pub list: String,
}
