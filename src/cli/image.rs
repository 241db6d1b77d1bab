//! `pull`, `images`, `rmi`, `tag`, `untag`, `history`, `load`, `save`, `import`, `image inspect`, `image exists`.

use std::path::PathBuf;

use clap::Args;

/// How to reach registries; shared by everything that asks one.
#[derive(Debug, Args)]
pub(crate) struct RegistryFlags {
    /// Path of the authentication file
    #[arg(long, value_name = "PATH")]
    pub authfile: Option<PathBuf>,
    /// Path of a directory with certificates and keys for the registry
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
    /// Credentials to use for the registry
    #[arg(long, value_name = "USER:PASSWORD")]
    pub creds: Option<String>,
    /// Require HTTPS and verify certificates
    ///
    /// Without the flag, registries.conf decides; a registry that is not mentioned there is verified.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tls_verify: Option<bool>,
    /// Number of times to retry a request that failed
    #[arg(long, value_name = "N")]
    pub retry: Option<u32>,
    /// Delay before the first retry, doubled for each further one (2s, 500ms)
    #[arg(long, value_name = "DURATION")]
    pub retry_delay: Option<String>,
}

/// Pull an image from a registry
///
/// A name without a registry is looked for on docker.io, or where registries.conf says. Layers that are there already
/// are not transferred again.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    #[command(flatten)]
    pub registry: RegistryFlags,
    /// Pull every tag of the repository
    #[arg(short, long)]
    pub all_tags: bool,
    /// Keep the layers as they come beside their files, so that a push or an OCI archive has the same digests
    ///
    /// Takes the compressed size on top. RPOD_KEEP_COMPRESSED=true asks for it always.
    #[arg(long)]
    pub keep_compressed: bool,
    /// Architecture to pull instead of this machine's
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// Operating system to pull instead of linux
    #[arg(long, value_name = "OS")]
    pub os: Option<String>,
    /// Variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    pub variant: Option<String>,
    /// Platform to pull: OS/ARCH[/VARIANT]
    #[arg(long, value_name = "PLATFORM", conflicts_with_all = ["arch", "os", "variant"])]
    pub platform: Option<String>,
    /// When to ask the registry
    #[arg(long, value_name = "POLICY", default_value = "always", value_parser = ["always", "missing", "never", "newer"])]
    pub policy: String,
    /// Decide by this signature policy instead of policy.json
    #[arg(long, value_name = "FILE", hide = true)]
    pub signature_policy: Option<PathBuf>,
    /// Do not show progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Accepted for compatibility with Docker, as in Podman
    #[arg(long, hide = true)]
    pub disable_content_trust: bool,
    /// Images to pull
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// List images
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Also list images without a name that others are made from
    #[arg(short, long)]
    pub all: bool,
    /// Show digests
    #[arg(long)]
    pub digests: bool,
    /// List only images that match: dangling, reference, before, since, label, label!, id, digest, until, containers, manifest, readonly
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Change the output format to JSON or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Show the names that images had
    #[arg(long)]
    pub history: bool,
    /// Do not print the heading
    #[arg(short, long)]
    pub noheading: bool,
    /// Do not shorten ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Show only ids
    #[arg(short, long)]
    pub quiet: bool,
    /// Sort by created, id, repository, size or tag
    #[arg(long, value_name = "ORDER", default_value = "created", value_parser = ["created", "id", "repository", "size", "tag"])]
    pub sort: String,
    /// Show only this repository or image
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
}

/// Remove images
///
/// A name is taken away; with its last name, or when the id is given, the image is deleted.
#[derive(Debug, Args)]
pub(crate) struct Rmi {
    /// Remove all images
    #[arg(short, long)]
    pub all: bool,
    /// Remove also images with several names or with containers
    #[arg(short, long)]
    pub force: bool,
    /// What does not exist is no error
    #[arg(short, long)]
    pub ignore: bool,
    /// Accepted for compatibility: images without a name are not parents here
    #[arg(long)]
    pub no_prune: bool,
    /// Images to remove
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// Display what is known about images
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Change the output format to JSON or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Images to inspect
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// Check whether an image is in the store: exit code 0 or 1
#[derive(Debug, Args)]
pub(crate) struct Exists {
    /// Image to look for
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

/// Give an image further names
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// Image that is there
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// New names
    #[arg(required = true, value_name = "TARGET_NAME")]
    pub names: Vec<String>,
}

/// Take names from an image
#[derive(Debug, Args)]
pub(crate) struct Untag {
    /// Image that is there
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Names to take away; all of them when none is given
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// Show how an image was made
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Change the output format to JSON or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Show sizes and times for people
    #[arg(short = 'H', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub human: Option<bool>,
    /// Do not shorten the output
    #[arg(long)]
    pub no_trunc: bool,
    /// Do not print the heading
    #[arg(short, long)]
    pub noheading: bool,
    /// Show only ids
    #[arg(short, long)]
    pub quiet: bool,
    /// Image to show
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

/// Load images from an archive
///
/// Reads docker archives and OCI archives, plain or compressed with gzip or zstd.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Keep the layers as they come beside their files, so that a push or an OCI archive has the same digests
    ///
    /// Takes the compressed size on top. RPOD_KEEP_COMPRESSED=true asks for it always.
    #[arg(long)]
    pub keep_compressed: bool,
    /// Read from a file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Decide by this signature policy instead of policy.json
    #[arg(long, value_name = "FILE", hide = true)]
    pub signature_policy: Option<PathBuf>,
    /// Do not show progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// Save images to an archive
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Format of the archive
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive", value_parser = ["docker-archive", "oci-archive", "oci-dir", "docker-dir"])]
    pub format: String,
    /// Compress the layers, with --format docker-dir
    #[arg(long)]
    pub compress: bool,
    /// Accepted for compatibility: layers in an archive are not compressed
    #[arg(long)]
    pub uncompressed: bool,
    /// All arguments are images, also those that do not exist
    #[arg(short, long)]
    pub multi_image_archive: bool,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Do not show progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Images to save
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// Make an image of a root file system's tar
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Decide by this signature policy instead of policy.json
    #[arg(long, value_name = "FILE", hide = true)]
    pub signature_policy: Option<PathBuf>,
    /// Architecture of the image
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// Apply a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// Comment for the image's history
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Operating system of the image
    #[arg(long, value_name = "OS")]
    pub os: Option<String>,
    /// Do not show progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    pub variant: Option<String>,
    /// Path of the tar, or - for standard input
    #[arg(value_name = "PATH")]
    pub path: String,
    /// Name of the image
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}
