//! `images --filter` and the name to look for.

use std::collections::HashSet;

use jiff::Timestamp;

use super::{Listed, resolve};
use crate::engine::when;
use crate::error::{Error, Result};
use crate::glob::Glob;
use crate::storage::Store;

/// What an image must be to be listed. Filters of one kind are alternatives, of several kinds conditions.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Patterns for names; the names that match are the ones shown.
    references: Vec<Glob>,
    /// What stands behind the verb: the whole id of an image will do as well.
    image: Option<String>,
    dangling: Option<bool>,
    /// Whether to be a manifest list.
    lists: Option<bool>,
    /// Whether to be in an additional store only.
    read_only: Option<bool>,
    /// With what must hold: `label!` wants the label to be absent.
    labels: Vec<(String, Option<String>, bool)>,
    digests: Vec<String>,
    /// Ids of images that containers were made from, and whether to be one of them.
    containers: Option<(HashSet<String>, bool)>,
    ids: Vec<String>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    /// Whether any image can match at all.
    nothing: bool,
}

impl Filter {
    /// Reads `--filter KEY=VALUE`; `image` is the name behind the verb, `used` answers the ids of
    /// images that containers were made from.
    pub(crate) fn parse(
        store: &Store,
        filters: &[String],
        image: Option<&str>,
        used: impl Fn() -> Result<HashSet<String>>,
    ) -> Result<Self> {
        let mut filter = Self::default();
        filter.references.extend(image.map(pattern).transpose()?);
        filter.image = image.map(str::to_owned);
        for text in filters {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                Error::new(format!("invalid image filter {text:?}: must be in the format \"filter=value\""))
            })?;
            match key {
                "reference" => filter.references.push(pattern(value)?),
                "dangling" => filter.dangling = Some(boolean(value)?),
                "manifest" => filter.lists = Some(boolean(value)?),
                "readonly" => filter.read_only = Some(boolean(value)?),
                "intermediate" => filter.nothing |= boolean(value)?,
                "label" | "label!" => {
                    let (name, text) = value.split_once('=').map_or((value, None), |(k, v)| (k, Some(v.to_owned())));
                    filter.labels.push((name.to_owned(), text, key == "label"));
                }
                "digest" => filter.digests.push(value.trim_start_matches("sha256:").to_owned()),
                // Every container is rpod's own.
                "containers" if value == "external" => filter.nothing = true,
                "containers" => filter.containers = Some((used()?, boolean(value)?)),
                "id" => filter.ids.push(value.trim_start_matches("sha256:").to_owned()),
                "before" => filter.before = Some(earliest(filter.before, resolve(store, value)?.created())),
                "since" | "after" => filter.since = Some(resolve(store, value)?.created()),
                "until" => filter.before = Some(earliest(filter.before, when::parse("filter until", value)?)),
                _ => {
                    return Err(Error::new(format!("unsupported image filter {key:?}"))
                        .hint(
                        "choose from: reference, dangling, label, label!, id, digest, before, since, until, containers, manifest, readonly",
                    ));
                }
            }
        }
        Ok(filter)
    }

    /// The tags to show; `None` when the image does not match.
    pub(crate) fn names<'a>(&self, listed: &'a Listed) -> Option<Vec<&'a str>> {
        let created = listed.image.created;
        let labels = &listed.image.labels;
        let holds = |(key, value, wanted): &(String, Option<String>, bool)| {
            labels.get(key).is_some_and(|found| value.as_ref().is_none_or(|wanted| wanted == found)) == *wanted
        };
        let id = listed.image.id.hex();
        let matches = !self.nothing
            && self.dangling.is_none_or(|wanted| wanted == listed.is_dangling())
            && self.lists.is_none_or(|wanted| wanted == listed.is_list)
            && self.read_only.is_none_or(|wanted| wanted == listed.read_only)
            && self.labels.iter().all(holds)
            && (self.digests.is_empty()
                || self.digests.iter().any(|prefix| listed.image.manifest.hex().starts_with(prefix)))
            && self.containers.as_ref().is_none_or(|(used, wanted)| used.contains(&id) == *wanted)
            && (self.ids.is_empty() || self.ids.iter().any(|prefix| id.starts_with(prefix)))
            && self.before.is_none_or(|limit| created < limit)
            && self.since.is_none_or(|limit| created > limit);
        if !matches {
            return None;
        }
        let tags = listed.tags.iter().map(String::as_str);
        if self.references.is_empty() {
            return Some(tags.collect());
        }
        let wanted = |name: &str| self.references.iter().any(|pattern| matches_name(pattern, name));
        let named: Vec<&str> = tags.filter(|name| wanted(name)).collect();
        let found =
            !named.is_empty() || listed.digests.iter().any(|name| wanted(name)) || self.image.as_ref() == Some(&id);
        found.then_some(named)
    }
}

fn pattern(text: &str) -> Result<Glob> {
    Glob::path(text).map_err(Error::new)
}

fn earliest(first: Option<Timestamp>, second: Timestamp) -> Timestamp {
    first.map_or(second, |first| first.min(second))
}

fn boolean(value: &str) -> Result<bool> {
    match value {
        "true" | "1" | "t" | "True" | "TRUE" => Ok(true),
        "false" | "0" | "f" | "False" | "FALSE" => Ok(false),
        _ => Err(Error::new(format!("{value:?} is neither true nor false"))),
    }
}

/// Patterns are Go's `path.Match`, of a whole name or of its end behind a slash.
fn matches_name(pattern: &Glob, name: &str) -> bool {
    let (repository, _) = name.split_once('@').or_else(|| name.rsplit_once(':')).unwrap_or((name, ""));
    [name, repository].iter().any(|candidate| {
        let starts = std::iter::once(0).chain(candidate.match_indices('/').map(|(i, _)| i + 1));
        starts.map(|start| &candidate[start..]).any(|ending| pattern.matches(ending))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_by_their_end() {
        let name = "docker.io/library/alpine:3.20";
        for good in
            ["alpine", "alpine:3.20", "library/alpine", name, "alp*", "*", "alpine:3.*", "docker.io/*/alpine", "al?ine"]
        {
            assert!(matches_name(&pattern(good).expect(good), name), "{good}");
        }
        for bad in ["pine", "alpine:3", "docker.io", "docker.io/*", "*/alpine:3", "", "alpine/"] {
            assert!(!matches_name(&pattern(bad).expect(bad), name), "{bad}");
        }
    }
}
