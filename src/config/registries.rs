//! registries.conf, version 2 (containers-registries.conf(5)): which registries are insecure, blocked or mirrored, and
//! what short names mean.
//!
//! Read from `$CONTAINERS_REGISTRIES_CONF`, else `~/.config/containers/registries.conf`, else `/etc/containers/registries.conf`;
//! then the `*.conf` files of `/etc/containers/registries.conf.d` and of the one in the home, later ones winning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Context, Error, Result};
use crate::state::paths;

const ENV_FILE: &str = "CONTAINERS_REGISTRIES_CONF";
const SYSTEM_FILE: &str = "/etc/containers/registries.conf";
const SYSTEM_DIR: &str = "/etc/containers/registries.conf.d";

#[derive(Debug, Default)]
pub(crate) struct Registries {
    /// Registries to search for short names.
    pub search: Vec<String>,
    pub rules: Vec<Rule>,
    /// `short-name-mode = "enforcing"`: a name that several registries may have is asked about, not tried.
    pub enforces_short_names: bool,
    /// Short name → full name.
    pub aliases: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Rule {
    /// What images it is for: the beginning of a name, or `*.domain`.
    pub prefix: String,
    /// What replaces the prefix; empty when nothing does.
    pub location: String,
    pub insecure: bool,
    pub blocked: bool,
    pub mirror_by_digest_only: bool,
    pub mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Mirror {
    pub location: String,
    pub insecure: bool,
    /// `all`, `digest-only`, `tag-only`
    pub pull_from_mirror: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    short_name_mode: Option<String>,
    registry: Vec<Rule>,
    aliases: BTreeMap<String, String>,
    /// The table of version 1.
    registries: Option<toml::Table>,
}

impl Registries {
    /// Reads the configuration of this user.
    pub(crate) fn load() -> Result<Self> {
        let user = user_dir();
        let main = match std::env::var_os(ENV_FILE).filter(|v| !v.is_empty()) {
            Some(path) => Some(PathBuf::from(path)),
            None => [user.as_ref().map(|dir| dir.join("registries.conf")), Some(PathBuf::from(SYSTEM_FILE))]
                .into_iter()
                .flatten()
                .find(|path| path.exists()),
        };
        let mut config = Self::default();
        for path in main.into_iter().chain(drop_ins(user.as_deref())) {
            let text = std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
            config.add(&text).context(|| format!("cannot use {}", path.display()))?;
        }
        Ok(config)
    }

    /// Adds what a file says; it wins over what was there.
    pub(crate) fn add(&mut self, text: &str) -> Result<()> {
        let file: File = toml::from_str(text).context(|| "not valid")?;
        if file.registries.is_some() {
            return Err(Error::new("it is in version 1 of the format")
                .hint("write [[registry]] tables, see containers-registries.conf(5)"));
        }
        if let Some(search) = file.unqualified_search_registries {
            self.search = search;
        }
        match file.short_name_mode.as_deref() {
            None | Some("") => {}
            Some("enforcing") => self.enforces_short_names = true,
            Some("permissive" | "disabled") => self.enforces_short_names = false,
            Some(other) => return Err(Error::new(format!("short-name-mode cannot be {other:?}"))),
        }
        for mut rule in file.registry {
            if rule.prefix.is_empty() {
                rule.prefix.clone_from(&rule.location);
            }
            if rule.prefix.is_empty() {
                return Err(Error::new("a [[registry]] table has neither prefix nor location"));
            }
            if rule.location.is_empty() && !rule.prefix.starts_with("*.") {
                rule.location.clone_from(&rule.prefix);
            }
            self.rules.retain(|old| old.prefix != rule.prefix);
            self.rules.push(rule);
        }
        for (short, full) in file.aliases {
            // An empty value takes an alias of an earlier file back.
            if full.is_empty() {
                self.aliases.remove(&short)
            } else {
                self.aliases.insert(short, full)
            };
        }
        Ok(())
    }
}

fn drop_ins(user: Option<&Path>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for dir in [Some(PathBuf::from(SYSTEM_DIR)), user.map(|dir| dir.join("registries.conf.d"))].into_iter().flatten() {
        let Ok(entries) = std::fs::read_dir(dir) else { continue };
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "conf"))
            .collect();
        found.sort();
        files.extend(found);
    }
    files
}

/// `~/.config/containers`.
pub(crate) fn user_dir() -> Option<PathBuf> {
    match std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        Some(dir) => Some(dir.join("containers")),
        None => paths::home().ok().map(|home| home.join(".config/containers")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_version_one_and_nonsense() {
        for bad in [
            "[registries.search]\nregistries=['a']",
            "[[registry]]\ninsecure=true",
            "x = ",
            "[[registry]]\nlocation=3",
            "short-name-mode=\"x\"",
        ] {
            assert!(Registries::default().add(bad).is_err(), "{bad}");
        }
    }
}
