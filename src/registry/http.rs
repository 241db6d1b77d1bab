//! One HTTP request to a host that is not trusted: redirects by hand, bounded bodies, errors sorted by whether to repeat them.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use oci_client::errors::OciEnvelope;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE,
    RETRY_AFTER,
};
use reqwest::{Client, Method, Proxy, Response, StatusCode, Url, redirect};
use tokio::sync::oneshot;

use super::Options;
use super::dns::Resolver;
use super::proxy::Proxies;
use super::retry::Failure;
use super::trust::Trust;
use crate::error::{Context, Error, Result};

const MAX_REDIRECTS: usize = 10;
const MAX_ERROR_BODY: u64 = 64 << 10;
/// Bytes per second; a line slower than that counts as broken.
const SLOWEST_UPLOAD: u64 = 16 << 10;
/// Of a body, handed to the connection at a time.
const PIECE: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A client for one registry: TLS settings belong to the host.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    proxies: Proxies,
    insecure: bool,
    /// The patience with one request, when the client is for sending.
    patience: Option<Duration>,
    /// Whether the registry has answered at all: a dead connection before that is a wrong name more often than bad luck.
    reached: AtomicBool,
    /// Whether a refused connection is worth another attempt nevertheless.
    repeats_refused: bool,
}

/// A request; cheap to repeat.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    pub method: Method,
    pub url: Url,
    pub accept: &'a str,
    pub authorization: Option<HeaderValue>,
    /// Start at this byte.
    pub offset: u64,
    pub body: Option<Body>,
}

/// What is sent.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub bytes: Bytes,
    pub content_type: String,
    /// `Content-Range`, for a part of an upload.
    pub range: Option<String>,
}

impl<'a> Request<'a> {
    pub(super) fn get(url: Url, accept: &'a str) -> Self {
        Self { method: Method::GET, url, accept, authorization: None, offset: 0, body: None }
    }

    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, ..Self::get(url, "*/*") }
    }
}

impl Http {
    /// `is_for_pushing`: requests are limited by how much they send, not by silence, for a registry is silent while it
    /// receives. Nothing large is to be fetched then.
    pub(super) fn new(host: &str, insecure: bool, is_for_pushing: bool, options: &Options) -> Result<Self> {
        super::check_env()?;
        super::install_crypto();
        let trust = Trust::for_host(host, options.cert_dir.as_deref())?;
        let proxies = Proxies::from_env();
        // One that cannot be used has been told before the request.
        let proxy_of = |url: &Url, proxies: &Proxies| proxies.of(url).ok().flatten();
        let chosen = proxies.clone();
        let mut builder = Client::builder()
            .no_proxy()
            .proxy(Proxy::custom(move |url| proxy_of(url, &chosen)))
            .user_agent(concat!("rpod/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(Resolver::default()))
            .connect_timeout(CONNECT_TIMEOUT.min(options.stall))
            // Nobody takes what is sent.
            .tcp_user_timeout(options.stall)
            .http1_only()
            .tls_certs_merge(trust.authorities)
            .tls_danger_accept_invalid_certs(insecure);
        if let Some(identity) = trust.identity {
            builder = builder.identity(identity);
        }
        if !is_for_pushing {
            builder = builder.read_timeout(options.stall);
        }
        let patience = is_for_pushing.then_some(options.stall);
        let client = builder.build().context(|| format!("cannot set up TLS for {host}"))?;
        let repeats_refused = options.retry.is_asked;
        Ok(Self { client, proxies, insecure, patience, reached: AtomicBool::new(false), repeats_refused })
    }

    /// # Errors
    /// When the proxy that leads to the host cannot be used.
    pub(super) fn check_proxy(&self, url: &Url) -> Result<()> {
        self.proxies.of(url).map(drop)
    }

    pub(super) fn insecure(&self) -> bool {
        self.insecure
    }

    /// Sends and follows redirects. Any final status but those worth repeating is returned as it is.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Response, Failure> {
        let mut url = request.url.clone();
        let mut authorization = request.authorization.as_ref();
        for _ in 0..=MAX_REDIRECTS {
            self.check_proxy(&url)?;
            let mut builder = self.client.request(request.method.clone(), url.clone()).header(ACCEPT, request.accept);
            if let Some(value) = authorization {
                builder = builder.header(AUTHORIZATION, value);
            }
            if let Some(patience) = self.patience {
                let length = request.body.as_ref().map_or(0, |body| body.bytes.len() as u64);
                builder = builder.timeout(patience + Duration::from_secs(length / SLOWEST_UPLOAD));
            }
            if request.offset > 0 {
                builder = builder.header(RANGE, format!("bytes={}-", request.offset));
            }
            let mut handed = None;
            if let Some(body) = &request.body {
                let (content, receiver) = pieces(body.bytes.clone());
                handed = Some(receiver);
                builder = builder.header(CONTENT_TYPE, &body.content_type).body(content);
                builder = builder.header(CONTENT_LENGTH, body.bytes.len());
                if let Some(range) = &body.range {
                    builder = builder.header(CONTENT_RANGE, range);
                }
            } else if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
                builder = builder.header(CONTENT_LENGTH, 0);
            }
            let response = tokio::select! {
                response = builder.send() => response.map_err(|e| self.transport(&url, e))?,
                () = self.is_late(handed) => {
                    let what = format!("cannot reach {}", shown(&url));
                    return Err(Failure::Passing(Error::wrap(what, Error::new(LATE)), None));
                }
            };
            self.reached.store(true, Ordering::Relaxed);
            // Only these two ask for the same request again; the others would turn it into a GET.
            let repeatable = request.method.is_safe() || matches!(response.status().as_u16(), 307 | 308);
            if !is_redirect(response.status()) || !repeatable {
                return sort(response).await;
            }
            let next = target(&url, response.headers())?;
            if next == url {
                return Err(Error::new(format!("{} redirects to itself", shown(&url))).into());
            }
            self.check_safe(&url, &next)?;
            // Another origin must not learn the credentials (CVE-2020-15157 and its kind).
            if next.origin() != url.origin() {
                authorization = None;
            }
            url = next;
        }
        Err(Error::new(format!("{} leads to more than {MAX_REDIRECTS} redirects", shown(&request.url))).into())
    }

    /// Comes when an answer does not, to a body that has been handed over. What is on its way in buffers then may take as
    /// long as what has gone before.
    async fn is_late(&self, handed: Option<oneshot::Receiver<()>>) {
        let begun = Instant::now();
        if let (Some(handed), Some(patience)) = (handed, self.patience)
            && handed.await.is_ok()
        {
            tokio::time::sleep(patience + begun.elapsed() * 2).await;
        } else {
            std::future::pending().await
        }
    }

    /// From TLS nothing leads to where there is none, and from HTTP to nothing but HTTP (CVE-2020-15157's kind).
    pub(super) fn check_safe(&self, from: &Url, to: &Url) -> Result<()> {
        if to.scheme() == "https" || to.scheme() == "http" && (from.scheme() == "http" || self.insecure) {
            return Ok(());
        }
        Err(Error::new(format!("{} redirects to {}, which is not https", shown(from), shown(to))))
    }

    /// A form for a token service. Redirects are not followed: the form holds a secret.
    pub(super) async fn post_form(&self, url: &Url, body: String) -> Result<Response, Failure> {
        self.check_proxy(url)?;
        let mut builder =
            self.client.post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        if let Some(patience) = self.patience {
            builder = builder.timeout(patience);
        }
        let response = builder.send().await.map_err(|e| self.transport(url, e))?;
        sort(response).await
    }

    /// Whether a registry that does not answer yet is to be waited for.
    pub(super) fn repeats_refused(&self) -> bool {
        self.repeats_refused
    }

    /// An error below HTTP.
    fn transport(&self, url: &Url, error: reqwest::Error) -> Failure {
        let what = format!("cannot reach {}", shown(url));
        let is_timeout = error.is_timeout();
        let is_connect = error.is_connect();
        if let Some(tls) = tls_error(&error) {
            let failure = Error::wrap(what, tls.clone());
            return Failure::Final(match tls {
                rustls::Error::InvalidCertificate(_) => failure
                    .hint("put the registry's authority as NAME.crt into ~/.config/containers/certs.d/HOST[:PORT]/")
                    .hint("or use --tls-verify=false"),
                rustls::Error::InvalidMessage(_) => failure
                    .hint("the registry seems to speak plain HTTP: use --tls-verify=false, or insecure = true in registries.conf"),
                _ => failure,
            });
        }
        // An insecure registry without a port may be at the other one, that of plain HTTP.
        let is_only_place = !self.insecure || url.port().is_some() || url.scheme() == "http";
        let is_repeated = self.repeats_refused && is_only_place && is_refused(&error);
        let failure = Error::wrap(what, plain(error));
        if !is_repeated && is_connect && !is_timeout && !self.reached.load(Ordering::Relaxed) {
            return Failure::Final(failure);
        }
        Failure::Passing(failure, None)
    }
}

/// `bytes` as a body in pieces, and what tells when the connection has taken the last.
fn pieces(bytes: Bytes) -> (reqwest::Body, oneshot::Receiver<()>) {
    let (taken, receiver) = oneshot::channel();
    let next = |(mut rest, taken): (Bytes, Option<oneshot::Sender<()>>)| async move {
        let taken = taken?;
        let piece = rest.split_to(rest.len().min(PIECE));
        let taken = match rest.is_empty() {
            true => {
                // Nobody waits when the request has ended already.
                let _ = taken.send(());
                None
            }
            false => Some(taken),
        };
        Some((Ok::<_, Infallible>(piece), (rest, taken)))
    };
    (reqwest::Body::wrap_stream(stream::unfold((bytes, Some(taken)), next)), receiver)
}

/// A body in memory, at most `limit` bytes of it.
pub(super) async fn body(mut response: Response, limit: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let too_large = || Error::new(format!("{what} is larger than {limit} bytes"));
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_large().into());
    }
    let mut content = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if content.len() as u64 + chunk.len() as u64 > limit => return Err(too_large().into()),
            Ok(Some(chunk)) => content.extend_from_slice(&chunk),
            Ok(None) => return Ok(content),
            Err(e) => return Err(Failure::Passing(Error::wrap(format!("cannot read {what}"), plain(e)), None)),
        }
    }
}

/// The error of an answer that is not a success.
pub(super) async fn refusal(response: Response) -> Error {
    let status = response.status();
    let url = shown(response.url());
    let said = match body(response, MAX_ERROR_BODY, "the error message").await {
        Ok(content) => explain(&content),
        Err(_) => None,
    };
    let reason = status.canonical_reason().unwrap_or("no reason given");
    let text = said.unwrap_or_else(|| reason.to_owned());
    Error::new(format!("{url} answers {}: {text}", status.as_u16()))
}

/// Turns the statuses that pass by themselves into a [`Failure::Passing`].
async fn sort(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if !status.is_server_error() && !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
        return Ok(response);
    }
    let wait = retry_after(response.headers());
    let error = refusal(response).await;
    // What the server cannot do at all, it cannot do later.
    if matches!(status, StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED) {
        return Err(Failure::Final(error));
    }
    Err(Failure::Passing(error, wait))
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_zoned(value).ok()?;
    let wait = date.timestamp().duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(wait).unwrap_or_default())
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where `Location` leads, seen from `url`.
pub(super) fn target(url: &Url, headers: &HeaderMap) -> Result<Url> {
    let bad = || Error::new(format!("{} leads to nowhere", shown(url)));
    let location = headers.get(LOCATION).and_then(|v| v.to_str().ok()).ok_or_else(bad)?;
    let mut target = url.join(location).map_err(|_| bad())?;
    target.set_fragment(None);
    Ok(target)
}

/// A URL for a message: without the query, which may hold a signature.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    // Only URLs that cannot have one refuse.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

const LATE: &str = "the registry does not answer in time";

/// Whether nobody listens there.
fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// reqwest's chain as one sentence. Its own text repeats the URL.
pub(super) fn plain(error: reqwest::Error) -> Error {
    if error.is_timeout() {
        return Error::new(LATE);
    }
    let error = error.without_url();
    let mut innermost: &dyn StdError = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if innermost.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::TimedOut) {
        return Error::new("the registry takes nothing more of what is sent");
    }
    Error::new(innermost.to_string())
}

fn tls_error(error: &reqwest::Error) -> Option<rustls::Error> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls.clone());
        }
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

/// What the registry says, fit for a terminal.
fn explain(content: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice::<OciEnvelope>(content) {
        Ok(envelope) => {
            let first = envelope.errors.into_iter().next()?;
            if first.message.is_empty() { format!("{:?}", first.code) } else { first.message }
        }
        Err(_) => String::from_utf8_lossy(content).trim().to_owned(),
    };
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    // A page for a browser says nothing here.
    (!text.is_empty() && !text.starts_with('<')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_error_bodies() {
        let text = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest\u001b[31m unknown","detail":null}]}"#;
        assert_eq!(explain(text).as_deref(), Some("manifest [31m unknown"));
        assert_eq!(explain(b"<html>"), None);
        assert_eq!(explain(b" busy\n").as_deref(), Some("busy"));
    }

    #[test]
    fn retry_after_forms() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("Wed, 21 Oct 2015 07:28:00 GMT"));
        assert_eq!(retry_after(&headers), Some(Duration::ZERO));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("soon"));
        assert_eq!(retry_after(&headers), None);
    }

    #[test]
    fn messages_hide_secrets() {
        let url = Url::parse("https://u:p@cdn.example/blob?X-Amz-Signature=abc").expect("url");
        assert_eq!(shown(&url), "https://cdn.example/blob");
    }
}
