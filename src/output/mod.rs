//! The only room that prints.

pub(crate) mod escape;
pub(crate) mod report;
pub(crate) mod ui;
