//! The system-call filter: from a profile to BPF.
//!
//! ```text
//! contrib/seccomp/default.json ─┐
//! --security-opt seccomp=FILE ──┴─ profile::resolve (capabilities, architecture, kernel) ─▶ oci LinuxSeccomp
//!                                                                    compile::compile ─▶ BPF for seccomp(2)
//! ```
//!
//! The default profile is that of Podman's containers-common (Apache-2.0), reduced to the architectures rpod runs on:
//! the same calls are allowed, under the same capabilities. Compiling is done here rather than by libseccomp, which
//! takes 30 times longer for it; a test compares the two over every call of every architecture.

mod arch;
mod compile;
mod profile;
#[cfg(test)]
mod tests;

pub(crate) use arch::Native;
pub(crate) use compile::{compile, flags};
pub(crate) use profile::{Host, default_profile, kernel_version, resolve};
