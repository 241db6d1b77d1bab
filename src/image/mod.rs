//! Images as data: digests, references, manifests, configs and archive formats. No network, no layers on disk.

pub(crate) mod builtin;
pub(crate) mod digest;
