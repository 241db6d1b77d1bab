//! Verbs on everything at once: what takes space, what is not needed, what is broken, and starting anew.

pub(crate) mod check;
pub(crate) mod dedup;
pub(crate) mod df;
pub(crate) mod reset;
