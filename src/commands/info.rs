//! `rpod info`: host, store, plugins and version in Podman's shape, as YAML, JSON or through a template.

use serde_json::json;

use super::{Context, version};
use crate::cli::system::Info;
use crate::engine::info;
use crate::error::Result;
use crate::output::{escape, listing, yaml};

pub(crate) fn run(args: Info, context: &Context<'_>) -> Result<u8> {
    let facts = json!({
        "host": info::host(version::arch(), version::VERSION)?,
        "plugins": {
            "authorization": null,
            "log": ["k8s-file", "json-file", "none", "passthrough", "journald"],
            "network": ["bridge", "macvlan", "ipvlan", "overlay"],
            "volume": ["local"],
        },
        "registries": {},
        "store": info::store(context.dirs()?, &context.store()?)?,
        "version": version::facts(),
    });
    match args.format.as_deref().filter(|format| !format.trim().is_empty()) {
        Some(format) => listing::object(context.ui, "info", format, &facts, true)?,
        None => context.ui.print(&escape::text(&yaml::render(&facts)))?,
    }
    Ok(0)
}
