//! What can be typed: clap types only, a file per noun.
//!
//! Each verb has one `#[derive(clap::Args)]` type. The first line of its doc comment is the summary that the overview
//! shows; the rest is the description in `--help` and in the man page. Flags keep Podman's spelling; the habits of Go's
//! flag package that scripts rely on (`--rm=false`, `--memory-swap -1`, the last of two wins) come from [`goflags`], so
//! types say only `bool`, `Option<T>` and `Vec<T>`.
//!
//! A verb whose flags end at the first word (`run IMAGE COMMAND…`, `exec`) declares a single positional
//! `#[arg(trailing_var_arg = true, required = true)] words: Vec<OsString>` and gives its usage line with
//! `#[command(override_usage = "rpod run [options] IMAGE [COMMAND [ARG...]]")]`: with two positionals clap would still
//! take `-v` after IMAGE for a flag of rpod's.

pub(crate) mod build;
pub(crate) mod build_refused;
pub(crate) mod change;
pub(crate) mod container;
pub(crate) mod files;
pub(crate) mod globals;
pub(crate) mod goflags;
pub(crate) mod health;
pub(crate) mod image;
pub(crate) mod image_space;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod login;
pub(crate) mod manifest;
pub(crate) mod network;
pub(crate) mod observe;
pub(crate) mod refused;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod secret;
pub(crate) mod space;
pub(crate) mod surroundings;
pub(crate) mod system;
pub(crate) mod trust;
pub(crate) mod usage;
pub(crate) mod volume;
