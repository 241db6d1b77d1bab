//! Containers and images as users know them. Never prints.

pub(crate) mod info;
