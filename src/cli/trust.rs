//! `image trust`, `image sign`.

use std::path::PathBuf;

use clap::Args;

/// Show or set which images may be brought in: policy.json
///
/// `show` lists the rules, or prints the file; `set` changes the user's own file, ~/.config/containers/policy.json, for all of a
/// registry (or "default").
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// Print the rules as JSON
    #[arg(short, long)]
    pub json: bool,
    /// Do not print the heading
    #[arg(short, long)]
    pub noheading: bool,
    /// Policy file to use
    #[arg(long, value_name = "FILE")]
    pub policypath: Option<PathBuf>,
    /// Public key that signs the images, for set
    #[arg(short = 'f', long, value_name = "FILE")]
    pub pubkeysfile: Vec<PathBuf>,
    /// Print the file as it is
    #[arg(long)]
    pub raw: bool,
    /// What to ask for, with set: signedBy, sigstoreSigned, accept or reject
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "signedBy", value_parser = ["signedBy", "sigstoreSigned", "accept", "reject"])]
    pub kind: String,
    /// show or set
    #[arg(value_name = "ACTION", value_parser = ["show", "set"])]
    pub action: String,
    /// Registry, a part of one, or default
    #[arg(value_name = "REGISTRY")]
    pub registry: Option<String>,
}

/// Sign images of a registry with gpg
///
/// The signature is a file beside the registry: where registries.d wants new ones, or in --directory.
#[derive(Debug, Args)]
pub(crate) struct Sign {
    #[command(flatten)]
    pub registry: super::image::RegistryFlags,
    /// Sign the manifests of all platforms
    #[arg(short, long)]
    pub all: bool,
    /// Directory for the signatures
    #[arg(short, long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Key to sign with: its fingerprint, or the name of its owner
    #[arg(long, value_name = "KEY", required = true)]
    pub sign_by: String,
    /// Images to sign
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}
