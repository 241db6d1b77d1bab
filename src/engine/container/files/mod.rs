//! The files of containers: what has changed, as an image, as a tar, copied in and out, mounted.

pub(crate) mod changes;
pub(crate) mod commit;
pub(crate) mod cp;
pub(crate) mod export;
pub(crate) mod mount;
