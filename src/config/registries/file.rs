//! One file of the format, read as Podman reads it: keys in any case, slashes at the end of a place cut, and what contradicts
//! itself refused. A rule that does not mean what its author meant protects nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use super::{Mirror, Rule};
use crate::error::{Context, Error, Result};
use crate::image::reference::{Reference, is_short};

const MAIN_KEYS: [&str; 6] =
    ["unqualified-search-registries", "short-name-mode", "credential-helpers", "registry", "aliases", "registries"];
const RULE_KEYS: [&str; 7] =
    ["prefix", "location", "insecure", "blocked", "mirror-by-digest-only", "mirror", "pull-from-mirror"];
const MIRROR_KEYS: [&str; 3] = ["location", "insecure", "pull-from-mirror"];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct File {
    pub unqualified_search_registries: Option<Vec<String>>,
    pub short_name_mode: Option<String>,
    pub credential_helpers: Option<Vec<String>>,
    #[serde(rename = "registry")]
    pub rules: Vec<Rule>,
    pub aliases: BTreeMap<String, String>,
    /// The table of version 1.
    registries: Option<Table>,
    /// What is in the file and without effect.
    #[serde(skip)]
    pub remarks: Vec<String>,
}

impl File {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut table: Table = toml::from_str(text).context(|| "not valid")?;
        let mut keys = Keys::default();
        keys.fold(&mut table, &MAIN_KEYS, "")?;
        for rule in tables(&mut table, "registry") {
            keys.fold(rule, &RULE_KEYS, " of a [[registry]]")?;
            for mirror in tables(rule, "mirror") {
                keys.fold(mirror, &MIRROR_KEYS, " of a [[registry.mirror]]")?;
            }
        }
        // The text's own errors tell the line.
        let read = if keys.renamed { table.try_into() } else { toml::from_str(text) };
        let mut file = Self { remarks: keys.remarks, ..read.context(|| "not valid")? };
        if file.registries.is_some() {
            return Err(Error::new("it is in version 1 of the format")
                .hint("write [[registry]] tables, see containers-registries.conf(5)"));
        }
        for host in file.unqualified_search_registries.iter_mut().flatten() {
            *host = place(host)?;
        }
        for rule in &mut file.rules {
            check_rule(rule)?;
        }
        check_agreement(&file.rules)?;
        file.aliases.iter().try_for_each(|(short, full)| check_alias(short, full))?;
        Ok(file)
    }
}

#[derive(Default)]
struct Keys {
    renamed: bool,
    remarks: Vec<String>,
}

impl Keys {
    /// Gives the keys of a table the names they have in the manual.
    fn fold(&mut self, table: &mut Table, known: &[&str], place: &str) -> Result<()> {
        let written: Vec<String> = table.keys().filter(|key| !known.contains(&key.as_str())).cloned().collect();
        for key in written {
            let Some(name) = known.iter().find(|name| name.eq_ignore_ascii_case(&key)) else {
                self.remarks.push(format!("{key:?}{place} is not known and without effect"));
                continue;
            };
            let value = table.remove(&key);
            if table.contains_key(*name) {
                return Err(Error::new(format!("{name}{place} is set twice, as {key} too")));
            }
            table.extend(value.map(|value| ((*name).to_owned(), value)));
            self.renamed = true;
        }
        Ok(())
    }
}

fn tables<'a>(table: &'a mut Table, key: &str) -> impl Iterator<Item = &'a mut Table> {
    let list = table.get_mut(key).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_table_mut)
}

/// A registry or a part of one: `reg.example:5000/team`.
fn place(text: &str) -> Result<String> {
    let place = text.trim_end_matches('/');
    if place.contains("://") {
        return Err(Error::new(format!("{text:?} is a URL")).hint("write the registry's name without https://"));
    }
    Ok(place.to_owned())
}

fn check_rule(rule: &mut Rule) -> Result<()> {
    rule.location = place(&rule.location)?;
    rule.prefix = place(&rule.prefix)?;
    if rule.prefix.is_empty() {
        rule.prefix.clone_from(&rule.location);
    }
    if rule.prefix.is_empty() {
        return Err(Error::new("a [[registry]] table has neither prefix nor location"));
    }
    let is_wildcard = rule.prefix.starts_with("*.");
    if rule.prefix.contains('*') && (!is_wildcard || rule.prefix[1..].contains(['/', '@', ':', '*'])) {
        return Err(Error::new(format!("the prefix {:?} can match nothing", rule.prefix))
            .hint("a prefix with * is written as *.example.com"));
    }
    if rule.location.is_empty() && !is_wildcard {
        rule.location.clone_from(&rule.prefix);
    }
    if !rule.pull_from_mirror.is_empty() {
        return Err(Error::new(format!("pull-from-mirror is set for {}, not for a mirror of it", rule.prefix)));
    }
    let by_digest = rule.mirror_by_digest_only;
    rule.mirror.iter_mut().try_for_each(|mirror| check_mirror(mirror, &rule.prefix, by_digest))
}

fn check_mirror(mirror: &mut Mirror, prefix: &str, by_digest: bool) -> Result<()> {
    mirror.location = place(&mirror.location)?;
    if mirror.location.is_empty() {
        return Err(Error::new(format!("a mirror of {prefix} has no location")));
    }
    match mirror.pull_from_mirror.as_str() {
        "" => Ok(()),
        "all" | "digest-only" | "tag-only" if by_digest => Err(Error::new(format!(
            "mirror-by-digest-only of {prefix} and pull-from-mirror of {} are both set",
            mirror.location
        ))),
        "all" | "digest-only" | "tag-only" => Ok(()),
        other => Err(Error::new(format!("pull-from-mirror of {} cannot be {other:?}", mirror.location))),
    }
}

/// A registry that several tables lead to is as safe as the least safe of them says: they must say the same.
fn check_agreement(rules: &[Rule]) -> Result<()> {
    let target = |rule: &Rule| if rule.location.is_empty() { rule.prefix.clone() } else { rule.location.clone() };
    let mut known: BTreeMap<String, &Rule> = BTreeMap::new();
    for rule in rules {
        let first = known.entry(target(rule)).or_insert(rule);
        for (name, differs) in
            [("blocked", first.blocked != rule.blocked), ("insecure", first.insecure != rule.insecure)]
        {
            if differs {
                return Err(Error::new(format!("two [[registry]] tables for {} set {name} differently", target(rule))));
            }
        }
    }
    Ok(())
}

fn check_alias(short: &str, full: &str) -> Result<()> {
    let is_bare = |name: &str| {
        Reference::with_default_host(name, "localhost").is_ok()
            && !name.contains('@')
            && !name.rsplit('/').next().is_some_and(|last| last.contains(':'))
    };
    if !is_short(short) || !is_bare(short) {
        return Err(Error::new(format!("the alias {short:?} is not a name without registry, tag and digest")));
    }
    // An empty value takes an alias of an earlier file back.
    if !full.is_empty() && (is_short(full) || !is_bare(full)) {
        return Err(Error::new(format!("the alias {short} = {full:?} is not a registry and a repository without tag")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused() {
        for bad in [
            "[registries.search]\nregistries=['a']",
            "[[registry]]\ninsecure=true",
            "x = ",
            "[[registry]]\nlocation=3",
            "[[registry]]\nlocation='https://reg.example'",
            "[[registry]]\nlocation='a.example'\nprefix='http://reg.example'",
            "unqualified-search-registries = ['https://docker.io']",
            "[[registry]]\nprefix='*.reg.example/ns'\nlocation='b.example'",
            "[[registry]]\nprefix='*reg.example'\nlocation='b.example'",
            "[[registry]]\nlocation='a.example'\nblocked=true\nBlocked=false",
            "[[registry]]\nlocation='a.example'\nblocked=true\n[[registry]]\nlocation='a.example/'",
            "[[registry]]\nlocation='a.example'\n[[registry]]\nprefix='b.example'\nlocation='a.example'\ninsecure=true",
            "[[registry]]\nlocation='a.example'\npull-from-mirror='all'",
            "[[registry]]\nlocation='a.example'\n[[registry.mirror]]\ninsecure=true",
            "[[registry]]\nlocation='a.example'\n[[registry.mirror]]\nlocation='b'\npull-from-mirror='x'",
            "[aliases]\na = 'b.example/c:1'",
            "[aliases]\na = 'c'",
            "[aliases]\n'a:1' = 'b.example/c'",
            "[aliases]\n'b.example/a' = 'b.example/c'",
        ] {
            assert!(File::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_in_any_case() {
        let text = "Short-Name-Mode='permissive'\nx-own=1\n[[Registry]]\nLOCATION='a.example//'\nBlocked=true\nbloked=true\n\
                    [[Registry.Mirror]]\nLocation='b.example/'\n[aliases]\nA = ''\n";
        let file = File::parse(text).map_err(|e| e.to_string());
        // Names of images are in small letters.
        assert!(file.is_err());
        let file = File::parse(&text.replace("A = ", "a = ")).expect("valid");
        let rule = &file.rules[0];
        assert!(rule.blocked && rule.prefix == "a.example" && rule.mirror[0].location == "b.example");
        assert_eq!(file.remarks.len(), 2, "{:?}", file.remarks);
    }
}
