//! Containers and images as users know them. Never prints.

pub(crate) mod container;
pub(crate) mod events;
pub(crate) mod images;
pub(crate) mod info;
pub(crate) mod manifests;
pub(crate) mod network;
pub(crate) mod pattern;
pub(crate) mod secrets;
pub(crate) mod system;
pub(crate) mod volumes;
pub(crate) mod when;
