//! Resolved settings → OCI runtime Spec. Pure: no system call, no file.
//!
//! ```text
//! Settings ── build ──▶ oci_spec::runtime::Spec ── stored, shown, executed by `runtime` or by crun
//!                          └─ linux.seccomp ── seccomp::compile ──▶ BPF
//! ```
//!
//! What a container gets when nothing is asked for (capabilities, mounts, masked paths, system-call filter, limits)
//! is what rootless Podman 5.4 gives it; each default says where it differs and why.

mod build;
pub(crate) mod capabilities;
pub(crate) mod defaults;
mod mounts;
pub(crate) mod seccomp;
pub(crate) mod settings;
pub(crate) mod user;

pub(crate) use build::{build, resources};
pub(crate) use settings::Settings;
