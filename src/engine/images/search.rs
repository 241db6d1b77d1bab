//! `search`: Docker Hub's search (version 1 of its API), and the catalogs of other registries.

use super::list_tags;
use crate::config::registries::Registries;
use crate::error::{Context, Error, Result};
use crate::image::reference::{DOCKER_HUB, Reference};
use crate::registry::{self, Hit, Registry};

/// As many as Podman asks for.
const DEFAULT_LIMIT: usize = 25;

#[derive(Debug, Clone, Default)]
pub(crate) struct SearchOptions {
    pub limit: Option<usize>,
    pub stars: Option<u64>,
    pub official: Option<bool>,
    pub automated: Option<bool>,
    pub registry: registry::Options,
}

/// An image that was found.
#[derive(Debug, Clone)]
pub(crate) struct SearchHit {
    /// The registry.
    pub index: String,
    /// The full name.
    pub name: String,
    pub hit: Hit,
}

impl SearchOptions {
    /// Reads `--filter KEY=VALUE`.
    pub(crate) fn filter(&mut self, text: &str) -> Result<()> {
        let bad = || {
            Error::new(format!("invalid search filter {text:?}"))
                .hint("choose from: stars=N, is-official, is-automated")
        };
        let (key, value) = text.split_once('=').unwrap_or((text, "true"));
        let boolean = || value.parse::<bool>().map_err(|_| bad());
        match key {
            "stars" => self.stars = Some(value.parse().map_err(|_| bad())?),
            "is-official" => self.official = Some(boolean()?),
            "is-automated" => self.automated = Some(boolean()?),
            _ => return Err(bad()),
        }
        Ok(())
    }

    fn takes(&self, hit: &Hit) -> bool {
        self.stars.is_none_or(|stars| hit.stars >= stars)
            && self.official.is_none_or(|official| hit.is_official == official)
            && self.automated.is_none_or(|automated| hit.is_automated == automated)
    }
}

/// Images whose names or descriptions have `term` in them: in the registry that it begins with, or in those that short names
/// are looked for in. A registry that cannot be asked is an error only if it was named.
pub(crate) fn search(term: &str, options: &SearchOptions, warn: &dyn Fn(&str)) -> Result<Vec<SearchHit>> {
    let config = Registries::load()?;
    let (hosts, term) = match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (vec![host.to_owned()], rest),
        _ => (config.searched(term)?, term),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start the network client")?;
    let mut found = Vec::new();
    let mut failure = None;
    let count = hosts.len();
    for host in hosts {
        let hits = (|| {
            // Any repository: only the registry matters.
            let reference = Reference::parse(&format!("{host}/search"))?;
            let source = registry::push_target(&config, &reference)?;
            let registry = Registry::for_catalog(&source, &options.registry)?;
            let limit = options.limit.unwrap_or(DEFAULT_LIMIT);
            runtime.block_on(registry.search(term, limit, &|hit: &Hit| options.takes(hit)))
        })();
        match hits {
            Ok(hits) => found.extend(hits.into_iter().map(|hit| SearchHit {
                index: host.clone(),
                name: full_name(&host, &hit.name),
                hit,
            })),
            Err(error) if count > 1 => {
                warn(&format!("cannot search {host}: {error}"));
                failure = Some(error);
            }
            Err(error) => return Err(Error::wrap(format!("cannot search {host}"), error)),
        }
    }
    match failure {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// Docker Hub leaves `library/` out.
fn full_name(host: &str, name: &str) -> String {
    match host {
        DOCKER_HUB if !name.contains('/') => format!("{host}/library/{name}"),
        _ => format!("{host}/{name}"),
    }
}

/// The tags of one repository, at most `limit` of them.
pub(crate) fn search_tags(name: &str, options: &SearchOptions) -> Result<(String, Vec<String>)> {
    let (repository, mut tags) = list_tags(name, &options.registry)?;
    tags.truncate(options.limit.unwrap_or(DEFAULT_LIMIT));
    Ok((repository, tags))
}
