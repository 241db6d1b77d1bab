//! Flags of `build` that are known so that whoever types one is told why it is not there.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

/// Known and refused: each says why.
#[derive(Debug, Args)]
pub(crate) struct Refused {
    /// Preserve the content of volumes during RUN (not supported)
    #[arg(long)]
    pub compat_volumes: bool,
    /// Flags of a C preprocessor (not supported)
    #[arg(long, value_name = "FLAG")]
    pub cpp_flag: Vec<String>,
    /// Confidential workloads (not supported)
    #[arg(long, value_name = "OPTIONS")]
    pub cw: Option<String>,
    /// Keys of encrypted images (not supported)
    #[arg(long, value_name = "KEY")]
    pub decryption_key: Vec<String>,
    /// OCI hooks (not supported)
    #[arg(long, value_name = "DIR")]
    pub hooks_dir: Vec<PathBuf>,
    /// Buildah's label of identity (there is none: only false is taken)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub identity_label: Option<bool>,
    /// Labels of intermediate images (there are none)
    #[arg(long, value_name = "NAME=VALUE")]
    pub layer_label: Vec<String>,
    /// A log file per platform (not supported)
    #[arg(long)]
    pub logsplit: bool,
    /// Features that the image's operating system needs (not supported)
    #[arg(long, value_name = "FEATURE")]
    pub os_feature: Vec<String>,
    /// Version of the image's operating system (not supported)
    #[arg(long, value_name = "VERSION")]
    pub os_version: Option<String>,
    /// Flags of the runtime (not supported)
    #[arg(long, value_name = "FLAG", value_delimiter = ',')]
    pub runtime_flag: Vec<String>,
    /// Software bills of materials (not supported; false is taken)
    #[arg(long, value_name = "PRESET", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub sbom: Option<String>,
    /// Attestations (not supported; disabled=true is taken)
    #[arg(long, value_name = "ATTESTATION")]
    pub attest: Vec<String>,
    /// Attestations of provenance (not supported; false is taken)
    #[arg(long, value_name = "VALUE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub provenance: Option<String>,
    /// Sign the image (not supported)
    #[arg(long, value_name = "KEY")]
    pub sign_by: Option<String>,
    /// Maps of the user namespace (not supported)
    #[arg(long, value_name = "MAP")]
    pub userns_uid_map: Vec<String>,
    /// Maps of the user namespace (not supported)
    #[arg(long, value_name = "MAP")]
    pub userns_gid_map: Vec<String>,
    /// Maps of the user namespace (not supported)
    #[arg(long, value_name = "NAME")]
    pub userns_uid_map_user: Option<String>,
    /// Maps of the user namespace (not supported)
    #[arg(long, value_name = "NAME")]
    pub userns_gid_map_group: Option<String>,
}
