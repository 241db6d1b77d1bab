//! One CDI file.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Context, Error, Result};

/// Largest file that is read; NVIDIA's for eight cards is some 100 kB.
const LIMIT: u64 = 4 << 20;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    pub cdi_version: String,
    pub kind: String,
    #[serde(default)]
    #[expect(dead_code, reason = "words for people")]
    annotations: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub devices: Vec<DeviceEntry>,
    #[serde(default)]
    pub container_edits: ContainerEdits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeviceEntry {
    pub name: String,
    #[serde(default)]
    #[expect(dead_code, reason = "words for people")]
    annotations: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub container_edits: ContainerEdits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ContainerEdits {
    pub env: Vec<String>,
    pub device_nodes: Vec<DeviceNode>,
    pub mounts: Vec<MountEntry>,
    pub hooks: Vec<Hook>,
    pub additional_gids: Vec<u32>,
    pub intel_rdt: Option<serde_json::Value>,
    pub net_devices: Vec<serde_json::Value>,
}

/// Type, numbers, mode and owner describe a node to be made; here it is the host's own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeviceNode {
    pub path: String,
    pub host_path: Option<String>,
    pub permissions: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct MountEntry {
    pub host_path: String,
    pub container_path: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub options: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Hook {
    pub hook_name: String,
    pub path: String,
    /// With the program's own name first.
    pub args: Vec<String>,
    pub env: Vec<String>,
    /// Seconds.
    pub timeout: Option<i64>,
}

/// Reads a file by the end of its name.
pub(super) fn read(path: &Path) -> Result<Document> {
    let what = || format!("cannot read the CDI file {}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).context(what)?;
    if !file.metadata().context(what)?.is_file() {
        return Err(Error::wrap(what(), Error::new("not a file")));
    }
    file.take(LIMIT + 1).read_to_string(&mut text).context(what)?;
    if text.len() as u64 > LIMIT {
        return Err(Error::wrap(what(), Error::new(format!("larger than {} MiB", LIMIT >> 20))));
    }
    let json = path.extension().is_some_and(|end| end == "json");
    let document: Document = match json {
        true => serde_json::from_str(&text).context(what)?,
        false => serde_json::from_value(crate::config::yaml::parse(&text).map_err(|e| Error::wrap(what(), e))?)
            .context(what)?,
    };
    if !document.cdi_version.starts_with("0.") && !document.cdi_version.starts_with("1.") {
        return Err(Error::wrap(what(), Error::new(format!("unknown version {:?}", document.cdi_version))));
    }
    Ok(document)
}
