//! Images as data: digests, references, manifests, configs and archive formats. No network, no layers on disk.

pub(crate) mod archive;
pub(crate) mod builtin;
pub(crate) mod change;
pub(crate) mod compress;
pub(crate) mod config;
pub(crate) mod digest;
pub(crate) mod duration;
mod healthcheck;
pub(crate) mod manifest;
pub(crate) mod platform;
pub(crate) mod reference;
pub(crate) mod signature;
pub(crate) mod transport;
