//! The configuration files shared with Podman, Buildah and Skopeo (containers-common): read, never written.

pub(crate) mod policy;
pub(crate) mod registries;
pub(crate) mod registries_d;
pub(crate) mod storage;
pub(crate) mod yaml;
