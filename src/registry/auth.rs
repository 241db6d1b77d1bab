//! Answers to `401 Unauthorized`: HTTP Basic, or a bearer token from the service that the registry names
//! (distribution's "token authentication" and its OAuth2 variant).

use base64::Engine;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::credentials::Credentials;
use super::http::{Http, Request, body, refusal};
use super::retry::Failure;
use crate::error::{Context, Error, Result};

const MAX_TOKEN: u64 = 1 << 20;

/// The authorisation for one repository; shared by all its transfers.
#[derive(Debug)]
pub(super) struct Authenticator {
    credentials: Option<Credentials>,
    /// What all of it needs, asked for at once: a push reads, writes, and mounts from other repositories.
    scopes: Vec<String>,
    /// The header in use. Its lock is held while a new one is fetched, so that parallel transfers ask once.
    current: Mutex<Option<HeaderValue>>,
}

/// A challenge of the registry.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Authenticator {
    pub(super) fn new(credentials: Option<Credentials>, scopes: Vec<String>) -> Self {
        Self { credentials, scopes, current: Mutex::new(None) }
    }

    pub(super) async fn current(&self) -> Option<HeaderValue> {
        self.current.lock().await.clone()
    }

    /// A header that may do better than `used`, for the challenges in `headers`.
    pub(super) async fn answer(
        &self,
        http: &Http,
        from: &Url,
        headers: &HeaderMap,
        used: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Failure> {
        let mut current = self.current.lock().await;
        if let Some(newer) = current.as_ref().filter(|header| Some(*header) != used) {
            return Ok(newer.clone());
        }
        let header = match choose(headers)? {
            Challenge::Basic => match &self.credentials {
                Some(Credentials::Basic { user, password }) => sensitive(&basic(user, password))?,
                _ => return Err(login_needed(from).into()),
            },
            Challenge::Bearer { realm, service, scope } => {
                let realm = token_service(&realm, from, http.insecure())?;
                let token = self.token(http, realm, service.as_deref(), &self.wanted(scope)).await?;
                sensitive(&format!("Bearer {token}"))?
            }
        };
        if used == Some(&header) {
            return Err(Error::new(format!("unauthorized: {} refuses the user or the password", host(from)))
                .hint(LOGIN_HINT)
                .into());
        }
        *current = Some(header.clone());
        Ok(header)
    }

    /// Our own scopes, and what the registry names beside them.
    fn wanted(&self, named: Option<String>) -> Vec<String> {
        let mut scopes = self.scopes.clone();
        for scope in named.iter().flat_map(|named| named.split(' ')).filter(|scope| !scope.is_empty()) {
            // `repository:a/b:pull` is part of `repository:a/b:pull,push`.
            if !scopes.iter().any(|own| own == scope || own.starts_with(&format!("{scope},"))) {
                scopes.push(scope.to_owned());
            }
        }
        scopes
    }

    async fn token(
        &self,
        http: &Http,
        mut realm: Url,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<String, Failure> {
        let response = match &self.credentials {
            Some(Credentials::Identity(refresh)) => {
                // A form is encoded as a query is.
                let mut form = realm.clone();
                form.set_query(None);
                form.query_pairs_mut()
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("client_id", "rpod")
                    .append_pair("refresh_token", refresh)
                    .append_pair("scope", &scopes.join(" "))
                    .extend_pairs(service.map(|service| ("service", service)));
                http.post_form(&realm, form.query().unwrap_or_default().to_owned()).await?
            }
            other => {
                realm.query_pairs_mut().extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
                if let Some(service) = service {
                    realm.query_pairs_mut().append_pair("service", service);
                }
                let mut request = Request::get(realm, "application/json");
                if let Some(Credentials::Basic { user, password }) = other {
                    request.url.query_pairs_mut().append_pair("account", user);
                    request.authorization = Some(sensitive(&basic(user, password))?);
                }
                http.send(&request).await?
            }
        };
        if !response.status().is_success() {
            let error = refusal(response).await;
            return Err(Error::wrap("unauthorized: the token service refuses", error).hint(LOGIN_HINT).into());
        }
        let content = body(response, MAX_TOKEN, "the token").await?;
        let token: Token =
            serde_json::from_slice(&content).context(|| "the registry's token service sends no token")?;
        let token = if token.token.is_empty() { token.access_token } else { token.token };
        if token.is_empty() {
            return Err(Error::new("the registry's token service sends an empty token").into());
        }
        Ok(token)
    }
}

const LOGIN_HINT: &str = "log in to the registry, or check the credentials (--creds, --authfile)";

fn login_needed(from: &Url) -> Error {
    Error::new(format!("unauthorized: {} wants a user and a password", host(from))).hint(LOGIN_HINT)
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or("the registry")
}

/// The token service gets the password, so it must be as safe as the registry.
fn token_service(realm: &str, from: &Url, insecure: bool) -> Result<Url> {
    let url = Url::parse(realm).context(|| format!("the registry names a bad token service {realm:?}"))?;
    if url.scheme() == "https" || url.scheme() == "http" && (insecure || from.scheme() == "http") {
        return Ok(url);
    }
    Err(Error::new(format!("the registry names a token service that is not https: {realm:?}")))
}

/// Bearer before Basic, as the registry offers them.
fn choose(headers: &HeaderMap) -> Result<Challenge> {
    let mut basic = false;
    for value in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
        let Ok(challenges) = http_auth::parse_challenges(value) else { continue };
        for challenge in challenges {
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = true;
            } else if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let find = |name: &str| {
                    let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                let realm = find("realm").ok_or_else(|| Error::new("the registry names no token service"))?;
                return Ok(Challenge::Bearer { realm, service: find("service"), scope: find("scope") });
            }
        }
    }
    if basic {
        return Ok(Challenge::Basic);
    }
    Err(Error::new("the registry refuses access and does not say how to authenticate"))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

fn sensitive(text: &str) -> Result<HeaderValue> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| Error::new("the credentials contain control characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(values: &[&'static str]) -> Result<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        choose(&headers)
    }

    #[test]
    fn reads_challenges() {
        let bearer = Challenge::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: Some("reg".to_owned()),
            scope: Some("repository:a/b:pull".to_owned()),
        };
        let text = r#"Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull""#;
        assert_eq!(challenge(&["Basic realm=\"x\"", text]).ok(), Some(bearer));
        assert_eq!(challenge(&["basic realm=x"]).ok(), Some(Challenge::Basic));
        assert!(
            challenge(&[]).is_err() && challenge(&["Bearer service=x"]).is_err() && challenge(&["Negotiate"]).is_err()
        );
    }

    #[test]
    fn the_token_service_must_be_safe() {
        let https = Url::parse("https://reg.example/v2/").expect("url");
        let http = Url::parse("http://reg.example/v2/").expect("url");
        assert!(token_service("https://a.example/t", &https, false).is_ok());
        assert!(token_service("http://a.example/t", &https, false).is_err());
        assert!(token_service("http://a.example/t", &http, false).is_ok());
        for bad in ["file:///etc/passwd", "/token", ""] {
            assert!(token_service(bad, &http, true).is_err(), "{bad}");
        }
    }
}
