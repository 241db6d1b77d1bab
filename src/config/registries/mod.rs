//! registries.conf, version 2 (containers-registries.conf(5)): which registries are insecure, blocked or mirrored, and
//! what short names mean.
//!
//! Read from `$CONTAINERS_REGISTRIES_CONF`, else `~/.config/containers/registries.conf`, else `/etc/containers/registries.conf`;
//! then the `*.conf` files of `/etc/containers/registries.conf.d` and of the one in the home, later ones winning.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use self::file::File;
use crate::error::{Context, Error, Result};
use crate::image::reference::DOCKER_HUB;
use crate::state::paths;

const ENV_FILE: &str = "CONTAINERS_REGISTRIES_CONF";
const SYSTEM_FILE: &str = "/etc/containers/registries.conf";
const SYSTEM_DIR: &str = "/etc/containers/registries.conf.d";

#[derive(Debug, Default)]
pub(crate) struct Registries {
    /// Registries to search for short names.
    pub search: Vec<String>,
    /// An empty list of them was written: short names mean nothing.
    pub forbids_short_names: bool,
    pub rules: Vec<Rule>,
    /// `short-name-mode = "enforcing"`: a name that several registries may have is asked about, not tried.
    pub enforces_short_names: bool,
    /// Short name → full name.
    pub aliases: BTreeMap<String, String>,
    /// Where credentials are looked for; empty: in the auth files.
    pub credential_helpers: Vec<String>,
    /// What the files say without effect, worth a warning.
    pub remarks: Vec<String>,
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
    /// Only mirrors may have it; here it is refused.
    pull_from_mirror: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Mirror {
    pub location: String,
    pub insecure: bool,
    /// `all`, `digest-only`, `tag-only`
    pub pull_from_mirror: String,
}

impl Registries {
    /// The registries where the short name may be looked for, Docker Hub where nothing is said.
    ///
    /// # Errors
    /// When none is to be asked.
    pub(crate) fn searched(&self, name: &str) -> Result<Vec<String>> {
        if self.forbids_short_names {
            return Err(Error::new(format!("{name} is a short name, and unqualified-search-registries is empty"))
                .hint("write the registry too, or add an alias to registries.conf"));
        }
        let hub = || vec![DOCKER_HUB.to_owned()];
        Ok(if self.search.is_empty() { hub() } else { self.search.clone() })
    }

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
            let known = config.remarks.len();
            config.add(&text).context(|| format!("cannot use {}", path.display()))?;
            config.remarks[known..].iter_mut().for_each(|remark| *remark = format!("{}: {remark}", path.display()));
        }
        Ok(config)
    }

    /// Adds what a file says; it wins over what was there.
    pub(crate) fn add(&mut self, text: &str) -> Result<()> {
        let mut file = File::parse(text)?;
        self.remarks.append(&mut file.remarks);
        if let Some(search) = file.unqualified_search_registries {
            self.forbids_short_names = search.is_empty();
            self.search = search;
        }
        match file.short_name_mode.as_deref() {
            None | Some("") => {}
            Some("enforcing") => self.enforces_short_names = true,
            Some("permissive" | "disabled") => self.enforces_short_names = false,
            Some(other) => return Err(Error::new(format!("short-name-mode cannot be {other:?}"))),
        }
        if let Some(helpers) = file.credential_helpers {
            self.credential_helpers = helpers;
        }
        // Of one file the first of two tables counts, of two files the later one.
        let mut prefixes = BTreeSet::new();
        for rule in file.rules {
            if !prefixes.insert(rule.prefix.clone()) {
                self.remarks.push(format!("the second [[registry]] with the prefix {} is without effect", rule.prefix));
                continue;
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
