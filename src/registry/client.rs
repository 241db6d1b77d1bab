//! One repository of one registry, as the engine uses it.

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Response, StatusCode, Url};
use tokio::sync::OnceCell;

use super::auth::Authenticator;
use super::http::{Http, Request, body, refusal};
use super::retry::{Attempts, Failure, RetryPolicy};
use super::sources::Source;
use super::{Options, credentials};
use crate::error::{Context, Error, Kind, Result};
use crate::image::digest::Digest;
use crate::image::manifest::{ACCEPT, Descriptor, MAX_MANIFEST};
use crate::image::reference::DOCKER_HUB;

/// A repository to fetch from.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(super) http: Http,
    /// Where the registry listens; Docker Hub's name is not its address.
    host: String,
    path: String,
    /// What to ask for: the digest or the tag.
    wanted: String,
    wanted_digest: Option<Digest>,
    auth: Authenticator,
    pub(super) policy: RetryPolicy,
    /// `https` or `http`, found out at the first request to an insecure registry.
    scheme: OnceCell<&'static str>,
}

/// A manifest or index with a verified digest.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub content: Vec<u8>,
    pub digest: Digest,
    pub content_type: Option<String>,
}

impl Registry {
    /// Prepares the connection. Reads configuration and may run a credential helper, so it belongs before any thread.
    pub(crate) fn new(source: &Source, options: &Options) -> Result<Self> {
        let scopes = vec![format!("repository:{}:pull", source.reference.path())];
        Self::with_scopes(source, options, scopes, false)
    }

    /// For what concerns no repository: whether the registry lets us in at all.
    pub(super) fn without_scope(source: &Source, options: &Options) -> Result<Self> {
        Self::with_scopes(source, options, Vec::new(), false)
    }

    /// For the list of all repositories.
    pub(crate) fn for_catalog(source: &Source, options: &Options) -> Result<Self> {
        Self::with_scopes(source, options, vec!["registry:catalog:*".to_owned()], false)
    }

    /// Where Docker Hub and registries like it are searched.
    pub(super) async fn search_url(&self) -> Result<Url, Failure> {
        let host = if self.host == "registry-1.docker.io" { "index.docker.io" } else { &self.host };
        let text = format!("{}://{host}/v1/search", self.scheme().await?);
        Ok(Url::parse(&text).context(|| format!("{text} is not a URL"))?)
    }

    /// The same for a repository to push to; layers may be mounted from the repositories `mounts` of the same registry.
    pub(crate) fn for_push(source: &Source, options: &Options, mounts: &[String]) -> Result<Self> {
        let own = source.reference.path();
        let others = mounts.iter().filter(|path| *path != own).map(|path| format!("repository:{path}:pull"));
        let scopes = std::iter::once(format!("repository:{own}:pull,push")).chain(others).collect();
        Self::with_scopes(source, options, scopes, true)
    }

    fn with_scopes(source: &Source, options: &Options, scopes: Vec<String>, is_for_pushing: bool) -> Result<Self> {
        let reference = &source.reference;
        let insecure = options.tls_verify.map_or(source.insecure, |verify| !verify);
        let credentials = match &options.credentials {
            // What was given on the command line is for the registry that was named, not for its mirrors.
            Some(given) if !source.is_mirror => Some(given.clone()),
            _ => credentials::find(reference, options.auth_file.as_deref())?,
        };
        let host = if reference.host() == DOCKER_HUB { "registry-1.docker.io" } else { reference.host() };
        let digest = reference.digest();
        let wanted = digest.map(|d| d.to_string()).or_else(|| reference.tag().map(str::to_owned)).unwrap_or_default();
        Ok(Self {
            http: Http::new(reference.host(), insecure, is_for_pushing, options)?,
            host: host.to_owned(),
            path: reference.path().to_owned(),
            wanted,
            wanted_digest: digest,
            auth: Authenticator::new(credentials, scopes),
            policy: options.retry.clone(),
            scheme: OnceCell::new(),
        })
    }

    /// Asks for nothing but to be let in.
    pub(super) async fn greet(&self) -> Result<()> {
        self.repeat(|| async {
            let response = self.authorized(Request::get(self.root_url("").await?, "*/*")).await?;
            self.success(response).await.map(drop)
        })
        .await
    }

    /// The manifest or index that the reference names.
    pub(crate) async fn manifest(&self) -> Result<Fetched> {
        self.fetch_manifest(&self.wanted, self.wanted_digest, MAX_MANIFEST).await
    }

    /// What a tag of the repository means; `None` where there is no such tag.
    pub(crate) async fn manifest_at(&self, tag: &str) -> Result<Option<Fetched>> {
        match self.fetch_manifest(tag, None, MAX_MANIFEST).await {
            Ok(fetched) => Ok(Some(fetched)),
            Err(error) if error.kind() == Kind::NoSuchObject => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A small file from anywhere, without credentials; `None` where there is none.
    pub(crate) async fn elsewhere(&self, url: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let url = Url::parse(url).context(|| format!("{url:?} is not a URL"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(Error::new(format!("{url} is neither http: nor https:")));
        }
        self.repeat(|| async {
            let response = self.http.send(&Request::get(url.clone(), "*/*")).await?;
            match response.status() {
                StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(None),
                status if status.is_success() => Ok(Some(body(response, limit, "a file").await?)),
                _ => Err(refusal(response).await.into()),
            }
        })
        .await
    }

    /// The manifest that an index points to.
    pub(crate) async fn manifest_of(&self, descriptor: &Descriptor) -> Result<Fetched> {
        if descriptor.size > MAX_MANIFEST {
            return Err(Error::new(format!("the image manifest is larger than {} MiB", MAX_MANIFEST >> 20)));
        }
        let fetched =
            self.fetch_manifest(&descriptor.digest.to_string(), Some(descriptor.digest), MAX_MANIFEST).await?;
        if fetched.content.len() as u64 != descriptor.size {
            return Err(Error::new(format!(
                "the image manifest has {} bytes, the index says {}",
                fetched.content.len(),
                descriptor.size
            )));
        }
        Ok(fetched)
    }

    async fn fetch_manifest(&self, wanted: &str, expected: Option<Digest>, limit: u64) -> Result<Fetched> {
        let accept = ACCEPT.join(", ");
        let path = format!("manifests/{wanted}");
        self.repeat(|| async {
            let response = self.success(self.request(&path, &accept, 0).await?).await?;
            let named = named_digest(response.headers());
            let content_type =
                response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned);
            let content = body(response, limit, "the image manifest").await?;
            let digest = Digest::of(&content);
            if let Some(expected) = expected.or(named).filter(|expected| *expected != digest) {
                return Err(wrong_digest("the image manifest", expected, digest).into());
            }
            Ok(Fetched { content, digest, content_type })
        })
        .await
    }

    /// A blob that fits in memory: a config.
    pub(crate) async fn small_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        if descriptor.size > limit {
            return Err(Error::new(format!("{} is larger than {} MiB", descriptor.digest, limit >> 20)));
        }
        let path = format!("blobs/{}", descriptor.digest);
        self.repeat(|| async {
            let response = self.success(self.request(&path, "*/*", 0).await?).await?;
            let content = body(response, descriptor.size, &descriptor.digest.to_string()).await?;
            let digest = Digest::of(&content);
            if digest != descriptor.digest {
                return Err(wrong_digest("a blob", descriptor.digest, digest).into());
            }
            Ok(content)
        })
        .await
    }

    pub(super) async fn repeat<T, F: Future<Output = Result<T, Failure>>>(&self, attempt: impl Fn() -> F) -> Result<T> {
        let mut attempts = Attempts::new(&self.policy);
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => attempts.after(failure).await?,
            }
        }
    }

    /// GET below the repository, authenticated as the registry wants. Any status may come back but 401.
    pub(super) async fn request(&self, path: &str, accept: &str, offset: u64) -> Result<Response, Failure> {
        self.authorized(Request { offset, ..Request::get(self.url(path).await?, accept) }).await
    }

    /// A URL below the repository.
    pub(super) async fn url(&self, path: &str) -> Result<Url, Failure> {
        self.root_url(&format!("{}/{path}", self.path)).await
    }

    /// A URL below `/v2/`.
    pub(super) async fn root_url(&self, path: &str) -> Result<Url, Failure> {
        let text = format!("{}://{}/v2/{path}", self.scheme().await?, self.host);
        Ok(Url::parse(&text).context(|| format!("{text} is not a URL"))?)
    }

    /// Sends with the authorization that the registry wants. Any status may come back but 401.
    pub(super) async fn authorized(&self, mut request: Request<'_>) -> Result<Response, Failure> {
        request.authorization = self.auth.current().await;
        // The first refusal asks for a token, a second one may mean that the token has run out meanwhile.
        for _ in 0..2 {
            let response = self.http.send(&request).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            let used = request.authorization.as_ref();
            let answer = self.auth.answer(&self.http, &request.url, response.headers(), used).await?;
            request.authorization = Some(answer);
        }
        let response = self.http.send(&request).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let error = refusal(response).await;
            return Err(error.hint("log in to the registry, or check the credentials and the image's name").into());
        }
        Ok(response)
    }

    /// The response when it is a success.
    pub(super) async fn success(&self, response: Response) -> Result<Response, Failure> {
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            StatusCode::NOT_FOUND => Err(refusal(response).await.with_kind(Kind::NoSuchObject).into()),
            _ => Err(refusal(response).await.into()),
        }
    }

    /// https; for an insecure registry that does not speak TLS, http.
    async fn scheme(&self) -> Result<&'static str, Failure> {
        let found = self.scheme.get_or_try_init(|| async {
            if !self.http.insecure() {
                return Ok("https");
            }
            let url = format!("https://{}/v2/", self.host);
            let url = Url::parse(&url).context(|| format!("{url} is not a URL"))?;
            // Not a reason to go without TLS.
            self.http.check_proxy(&url)?;
            match self.http.send(&Request::get(url, "*/*")).await {
                // What it speaks is seen when it answers.
                Err(failure @ Failure::Passing(..)) if self.http.repeats_refused() => Err(failure),
                // Whatever it says, it says it over TLS.
                Ok(_) | Err(Failure::Passing(..)) => Ok::<_, Failure>("https"),
                Err(Failure::Final(_)) => Ok("http"),
            }
        });
        found.await.copied()
    }
}

/// `Docker-Content-Digest`, when it is one that can be checked.
fn named_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

pub(super) fn wrong_digest(what: &str, expected: Digest, found: Digest) -> Error {
    Error::new(format!("{what} has the wrong digest: {found} instead of {expected}"))
        .hint("the registry, or something between, delivers damaged or forged content; nothing of it was kept")
}
