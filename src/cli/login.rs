//! `login` and `logout`.

use std::path::PathBuf;

use clap::Args;

/// Log in to a registry
///
/// The user and the password are tried at the registry and then kept, for this user only, in the auth file or by the
/// credential helper that the file names.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Path of the authentication file
    #[arg(long, value_name = "PATH", conflicts_with = "compat_auth_file")]
    pub authfile: Option<PathBuf>,
    /// Path of a directory with certificates and keys for the registry
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
    /// Path of an authentication file in Docker's format, to be written instead
    #[arg(long, value_name = "PATH")]
    pub compat_auth_file: Option<PathBuf>,
    /// Print the user who is logged in, and do nothing else
    #[arg(long)]
    pub get_login: bool,
    /// Password; other users can see it in the list of processes
    #[arg(short, long, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// Read the password from standard input
    #[arg(long, conflicts_with = "password")]
    pub password_stdin: bool,
    /// Use a secret (rpod secret) as the password; without --username, its name as the user
    #[arg(long, value_name = "SECRET", conflicts_with_all = ["password", "password_stdin"])]
    pub secret: Option<String>,
    /// Require HTTPS and verify certificates
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tls_verify: Option<bool>,
    /// User
    #[arg(short, long, value_name = "USER")]
    pub username: Option<String>,
    /// Say where the credentials are kept
    #[arg(short, long)]
    pub verbose: bool,
    /// Registry, or a part of one (reg.example/team)
    #[arg(value_name = "REGISTRY")]
    pub registry: Option<String>,
}

/// Log out of a registry
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Forget the credentials of all registries
    #[arg(short, long)]
    pub all: bool,
    /// Path of the authentication file
    #[arg(long, value_name = "PATH", conflicts_with = "compat_auth_file")]
    pub authfile: Option<PathBuf>,
    /// Path of an authentication file in Docker's format
    #[arg(long, value_name = "PATH")]
    pub compat_auth_file: Option<PathBuf>,
    /// Registry, or a part of one
    #[arg(value_name = "REGISTRY")]
    pub registry: Option<String>,
}
