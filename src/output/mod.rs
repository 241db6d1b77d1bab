//! The only room that prints.

pub(crate) mod build;
pub(crate) mod build_json;
pub(crate) mod build_live;
mod build_steps;
pub(crate) mod escape;
pub(crate) mod json;
pub(crate) mod listing;
pub(crate) mod podman_types;
pub(crate) mod progress;
pub(crate) mod prompt;
pub(crate) mod report;
mod screen;
pub(crate) mod table;
mod tail;
pub(crate) mod template;
pub(crate) mod ui;
pub(crate) mod yaml;
