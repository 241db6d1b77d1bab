//! The only room that prints.

pub(crate) mod escape;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod listing;
pub(crate) mod progress;
pub(crate) mod prompt;
pub(crate) mod report;
pub(crate) mod table;
pub(crate) mod template;
pub(crate) mod ui;
pub(crate) mod yaml;
