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
