//! The configuration files shared with Podman, Buildah and Skopeo (containers-common): read, never written.

pub(crate) mod policy;
pub(crate) mod registries;
pub(crate) mod registries_d;
pub(crate) mod storage;
mod strict_json;
pub(crate) mod yaml;
