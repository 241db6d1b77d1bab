//! registries.d (containers-registries.d(5)): where the signatures of a registry's images lie.
//!
//! `*.yaml` in `~/.config/containers/registries.d` when there is one, else in `/etc/containers/registries.d`:
//! ```yaml
//! default-docker: {lookaside: "https://…"}
//! docker: {reg.example/team: {lookaside: "file:///…", lookaside-staging: "file:///…"}}
//! ```

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::registries::user_dir;
use super::yaml;
use crate::error::{Context, Error, Result};
use crate::image::reference::Reference;
use crate::state::paths;

const SYSTEM_DIR: &str = "/etc/containers/registries.d";

/// The URL of the directory with signatures for images of this repository, without a slash at its end; for `writing`, the one
/// to put new ones into. Where nothing is configured it is the user's own.
pub(crate) fn lookaside(reference: &Reference, writing: bool) -> Result<String> {
    let own = user_dir().map(|dir| dir.join("registries.d")).filter(|dir| dir.is_dir());
    let found = find(&own.unwrap_or_else(|| PathBuf::from(SYSTEM_DIR)), reference, writing)?;
    match found {
        Some(url) => Ok(url.trim_end_matches('/').to_owned()),
        None => Ok(format!("file://{}", paths::home()?.join(".local/share/containers/sigstore").display())),
    }
}

fn find(dir: &Path, reference: &Reference, writing: bool) -> Result<Option<String>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(None) };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    let (mut rules, mut default) = (Vec::new(), None);
    for path in files {
        let text = std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
        let content = yaml::parse(&text).context(|| format!("cannot use {}", path.display()))?;
        for (scope, rule) in content.get("docker").and_then(Value::as_object).into_iter().flatten() {
            if rules.iter().any(|(known, _)| known == scope) {
                return Err(Error::new(format!("{} configures {scope} a second time", path.display())));
            }
            rules.push((scope.clone(), rule.clone()));
        }
        default = content.get("default-docker").cloned().or(default);
    }
    let full = reference.to_string();
    let repository = reference.repository();
    let parents = std::iter::successors(Some(repository.as_str()), |key| key.rsplit_once('/').map(|(up, _)| up));
    let mut scopes = std::iter::once(full.as_str()).chain(parents);
    let rule = scopes.find_map(|scope| rules.iter().find(|(key, _)| key == scope)).map(|(_, rule)| rule);
    Ok(rule.or(default.as_ref()).and_then(|rule| url(rule, writing)))
}

fn url(rule: &Value, writing: bool) -> Option<String> {
    // The second of each pair is its older name.
    let reading = ["lookaside", "sigstore"];
    let staging = ["lookaside-staging", "sigstore-staging"];
    let keys = if writing { [staging, reading].concat() } else { reading.to_vec() };
    keys.iter().find_map(|key| rule.get(key)?.as_str()).map(str::to_owned)
}
