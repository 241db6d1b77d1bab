//! What a registry has: the tags of a repository, its repositories (distribution spec, `tags/list`, `_catalog`). Long
//! lists come in pages, each naming the next in `Link`.

use reqwest::Url;
use reqwest::header::LINK;
use serde::Deserialize;

use super::client::Registry;
use super::http::{Request, body};
use super::retry::Failure;
use crate::error::{Context, Error, Result};

/// What one page may be.
const MAX_PAGE: u64 = 8 << 20;
/// A registry that goes on naming next pages is not followed for ever.
const MOST_PAGES: usize = 1000;
const PER_PAGE: usize = 1000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

impl Registry {
    /// The tags of the repository, as the registry sorts them.
    pub(crate) async fn tags(&self) -> Result<Vec<String>> {
        let first = self.repeat(|| self.url("tags/list?n=1000")).await?;
        self.pages(first, |page| page.tags.unwrap_or_default(), |_| false).await
    }

    async fn pages(
        &self,
        first: Url,
        pick: impl Fn(Page) -> Vec<String>,
        enough: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut next = Some(first);
        for _ in 0..MOST_PAGES {
            let Some(url) = next.take() else { return Ok(found) };
            let (page, link) = self.repeat(|| self.page(&url)).await?;
            found.extend(pick(page));
            if enough(&found) {
                return Ok(found);
            }
            // A page elsewhere would get this registry's credentials.
            next = link.filter(|next| next.origin() == url.origin() && *next != url);
        }
        Err(Error::new(format!("the registry's list has more than {} entries", MOST_PAGES * PER_PAGE)))
    }

    async fn page(&self, url: &Url) -> Result<(Page, Option<Url>), Failure> {
        let response = self.authorized(Request::get(url.clone(), "application/json")).await?;
        let response = self.success(response).await?;
        // `</v2/a/tags/list?last=x&n=1000>; rel="next"`
        let link = response.headers().get(LINK).and_then(|v| v.to_str().ok());
        let target = link.and_then(|link| link.split_once('<')?.1.split_once('>'));
        let next = target.filter(|(_, rest)| rest.contains("next")).and_then(|(target, _)| url.join(target).ok());
        let content = body(response, MAX_PAGE, "the registry's list").await?;
        let page = serde_json::from_slice(&content).context(|| "the registry's list is damaged")?;
        Ok((page, next))
    }
}

/// What a search found.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Hit {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default, rename = "star_count")]
    pub stars: u64,
    #[serde(default)]
    pub is_official: bool,
    #[serde(default)]
    pub is_automated: bool,
}

#[derive(Deserialize)]
struct Hits {
    results: Vec<Hit>,
}

impl Registry {
    /// Images with `term` in their names: by the search that Docker Hub has, otherwise by looking through the catalog.
    pub(crate) async fn search(&self, term: &str, limit: usize, takes: &dyn Fn(&Hit) -> bool) -> Result<Vec<Hit>> {
        if !term.is_empty()
            && let Some(mut hits) = self.search_v1(term, limit).await?
        {
            hits.retain(takes);
            hits.truncate(limit);
            return Ok(hits);
        }
        let first = self.repeat(|| self.root_url("_catalog?n=1000")).await?;
        let wanted = |name: String| {
            let hit = Hit { name, ..Hit::default() };
            (hit.name.contains(term) && takes(&hit)).then_some(hit.name)
        };
        let pick = |page: Page| page.repositories.unwrap_or_default().into_iter().filter_map(wanted).collect();
        let mut names = self.pages(first, pick, |names| names.len() >= limit).await?;
        names.truncate(limit);
        Ok(names.into_iter().map(|name| Hit { name, ..Hit::default() }).collect())
    }

    /// `None` where there is no such search.
    async fn search_v1(&self, term: &str, limit: usize) -> Result<Option<Vec<Hit>>> {
        let mut url = self.repeat(|| self.search_url()).await?;
        url.query_pairs_mut().append_pair("q", term).append_pair("n", &limit.to_string());
        self.repeat(|| async {
            // Without credentials: it is public, and not the API that they are for.
            let response = self.http.send(&Request::get(url.clone(), "application/json")).await?;
            if !response.status().is_success() {
                return Ok(None);
            }
            let content = body(response, MAX_PAGE, "the registry's answer to a search").await?;
            Ok(serde_json::from_slice::<Hits>(&content).ok().map(|hits| hits.results))
        })
        .await
    }
}
