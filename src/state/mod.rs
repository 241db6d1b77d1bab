//! What every object on disk shares: where it lives, how it is written so that a crash cannot tear it,
//! how two processes keep out of each other's way, and how ids and names are made.

pub(crate) mod events;
pub(crate) mod file;
pub(crate) mod given;
pub(crate) mod id;
pub(crate) mod lock;
pub(crate) mod names;
pub(crate) mod paths;
pub(crate) mod runtime;
pub(crate) mod shared;
