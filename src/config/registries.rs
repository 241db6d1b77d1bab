//! registries.conf, version 2 (containers-registries.conf(5)): which registries are insecure, blocked or mirrored, and
//! what short names mean.
//!
//! Read from `$CONTAINERS_REGISTRIES_CONF`, else `~/.config/containers/registries.conf`, else `/etc/containers/registries.conf`;
//! then the `*.conf` files of `/etc/containers/registries.conf.d` and of the one in the home, later ones winning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Context, Error, Result};
use crate::image::reference::{DOCKER_HUB, Reference, is_short};
use crate::state::paths;

const ENV_FILE: &str = "CONTAINERS_REGISTRIES_CONF";
const SYSTEM_FILE: &str = "/etc/containers/registries.conf";
const SYSTEM_DIR: &str = "/etc/containers/registries.conf.d";

#[derive(Debug, Default)]
pub(crate) struct Registries {
    /// Registries to search for short names; Docker Hub when nothing is configured.
    search: Vec<String>,
    rules: Vec<Rule>,
    /// Short name → full name.
    aliases: BTreeMap<String, String>,
}

/// Where an image can be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The reference to ask that registry for.
    pub reference: Reference,
    /// Plain HTTP and unverified certificates are allowed.
    pub insecure: bool,
    pub is_mirror: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Rule {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
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

    fn add(&mut self, text: &str) -> Result<()> {
        let file: File = toml::from_str(text).context(|| "not valid")?;
        if file.registries.is_some() {
            return Err(Error::new("it is in version 1 of the format")
                .hint("write [[registry]] tables, see containers-registries.conf(5)"));
        }
        if let Some(search) = file.unqualified_search_registries {
            self.search = search;
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

    /// The full names that `name`, as typed, may mean, in the order to try.
    pub(crate) fn candidates(&self, name: &str) -> Result<Vec<Reference>> {
        if !is_short(name) {
            return Ok(vec![Reference::parse(name)?]);
        }
        let plain = Reference::with_default_host(name, "localhost")?;
        if let Some(full) = self.aliases.get(plain.path()) {
            let suffix = match (plain.tag(), plain.digest()) {
                (_, Some(digest)) => format!("@{digest}"),
                (Some(tag), None) => format!(":{tag}"),
                (None, None) => String::new(),
            };
            return Ok(vec![Reference::parse(&format!("{full}{suffix}"))?]);
        }
        if self.search.is_empty() {
            return Ok(vec![Reference::with_default_host(name, DOCKER_HUB)?]);
        }
        self.search.iter().map(|host| Reference::with_default_host(name, host)).collect()
    }

    /// Where to fetch `reference` from: mirrors first, then the registry itself.
    pub(crate) fn sources(&self, reference: &Reference) -> Result<Vec<Source>> {
        let full = reference.to_string();
        let Some((rule, matched)) = self
            .rules
            .iter()
            .filter_map(|rule| Some((rule, matches(&rule.prefix, &full)?)))
            .max_by_key(|(_, matched)| *matched)
        else {
            return Ok(vec![Source { reference: reference.clone(), insecure: false, is_mirror: false }]);
        };
        if rule.blocked {
            return Err(Error::new(format!("the registry of {full} is blocked by registries.conf")));
        }
        let rewrite = |location: &str| -> Result<Reference> {
            if location.is_empty() {
                return Ok(reference.clone());
            }
            let rewritten = format!("{location}{}", &full[matched..]);
            Reference::parse(&rewritten).context(|| format!("registries.conf turns {full} into a bad name"))
        };
        let mut sources = Vec::new();
        for mirror in &rule.mirror {
            let wanted = match (mirror.pull_from_mirror.as_str(), rule.mirror_by_digest_only) {
                ("digest-only", _) | ("", true) => reference.digest().is_some(),
                ("tag-only", _) => reference.digest().is_none(),
                ("all" | "", _) => true,
                (other, _) => return Err(Error::new(format!("registries.conf: pull-from-mirror cannot be {other:?}"))),
            };
            if wanted {
                let reference = rewrite(&mirror.location)?;
                sources.push(Source { reference, insecure: mirror.insecure, is_mirror: true });
            }
        }
        sources.push(Source { reference: rewrite(&rule.location)?, insecure: rule.insecure, is_mirror: false });
        Ok(sources)
    }
}

/// How many bytes of `name` the prefix covers; a prefix ends at a component's end.
fn matches(prefix: &str, name: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let host_end = name.find('/')?;
        // `*.example.com` covers the host; the location replaces it as a whole.
        return name[..host_end].split(':').next()?.ends_with(domain).then_some(host_end);
    }
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(prefix.len())
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

    const CONF: &str = r#"
        unqualified-search-registries = ["reg.example", "docker.io"]
        [[registry]]
        location = "plain.example:5000"
        insecure = true
        [[registry]]
        prefix = "docker.io"
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.example/hub"
        [[registry.mirror]]
        location = "pinned.example"
        pull-from-mirror = "digest-only"
        [[registry]]
        prefix = "docker.io/library/secret"
        blocked = true
        [[registry]]
        prefix = "*.corp.example"
        location = "cache.example:5000/corp"
        [aliases]
        "alpine" = "quay.io/mirror/alpine"
        "fedora" = ""
    "#;

    fn config() -> Registries {
        let mut config = Registries::default();
        config.add(CONF).expect("config");
        config
    }

    fn sources(name: &str) -> Vec<(String, bool)> {
        let sources = config().sources(&Reference::parse(name).expect("name")).expect("sources");
        sources.into_iter().map(|s| (s.reference.to_string(), s.insecure)).collect()
    }

    #[test]
    fn rewrites_by_the_longest_prefix() {
        assert_eq!(sources("plain.example:5000/a"), [("plain.example:5000/a:latest".to_owned(), true)]);
        assert_eq!(
            sources("alpine:3"),
            [
                ("mirror.example/hub/library/alpine:3".to_owned(), false),
                ("docker.io/library/alpine:3".to_owned(), false)
            ]
        );
        assert_eq!(sources(&format!("alpine@sha256:{}", "0".repeat(64))).len(), 3);
        assert_eq!(sources("a.corp.example/x/y:1"), [("cache.example:5000/corp/x/y:1".to_owned(), false)]);
        assert_eq!(sources("plain.example:50001/a"), [("plain.example:50001/a:latest".to_owned(), false)]);
        assert!(config().sources(&Reference::parse("secret:1").expect("name")).is_err());
        assert!(config().sources(&Reference::parse("secrets:1").expect("name")).is_ok());
    }

    #[test]
    fn short_names() {
        let names = |name: &str| -> Vec<String> {
            config().candidates(name).expect("candidates").iter().map(ToString::to_string).collect()
        };
        assert_eq!(names("alpine:3"), ["quay.io/mirror/alpine:3"]);
        assert_eq!(names("a/b"), ["reg.example/a/b:latest", "docker.io/a/b:latest"]);
        assert_eq!(names("quay.io/a"), ["quay.io/a:latest"]);
        let defaults = Registries::default().candidates("x").expect("candidates");
        assert_eq!(defaults[0].to_string(), "docker.io/library/x:latest");
    }

    #[test]
    fn refuses_version_one_and_nonsense() {
        for bad in
            ["[registries.search]\nregistries=['a']", "[[registry]]\ninsecure=true", "x = ", "[[registry]]\nlocation=3"]
        {
            assert!(Registries::default().add(bad).is_err(), "{bad}");
        }
    }
}
