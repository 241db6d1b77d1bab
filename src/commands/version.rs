//! `rpod version`: Podman's fields; `--format` with Go templates.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Context;
use crate::cli::system::Version;
use crate::error::Result;
use crate::output::{listing, podman_types};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn run(args: Version, context: &Context<'_>) -> Result<u8> {
    match args.format.as_deref() {
        Some(format) => {
            // Of a server, scripts ask for the version to see whether there is one: there is no need of one here.
            let sides: &[&str] = if format == "json" { &["Client"] } else { &["Client", "Server"] };
            let facts: BTreeMap<_, _> = sides.iter().map(|side| (side, facts())).collect();
            listing::typed_object(context.ui, "version", format, &facts, false, &podman_types::VERSION)?;
        }
        None => {
            let (os, arch) = (std::env::consts::OS, arch());
            context.ui.print(&format!(
                "Client:       rpod\nVersion:      {VERSION}\nAPI Version:  {VERSION}\nOS/Arch:      {os}/{arch}\n"
            ))?;
        }
    }
    Ok(0)
}

/// Podman's fields, without those about Go.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Facts {
    #[serde(rename = "APIVersion")]
    api_version: &'static str,
    version: &'static str,
    name: &'static str,
    git_commit: &'static str,
    os: &'static str,
    arch: &'static str,
    os_arch: String,
}

/// What `info` shows under `version` as well.
pub(crate) fn facts() -> Facts {
    let (os, arch) = (std::env::consts::OS, arch());
    Facts {
        api_version: VERSION,
        version: VERSION,
        name: "rpod",
        git_commit: option_env!("RPOD_GIT_COMMIT").unwrap_or_default(),
        os,
        arch,
        os_arch: format!("{os}/{arch}"),
    }
}

/// The machine in the words of Go and OCI images.
pub(crate) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
