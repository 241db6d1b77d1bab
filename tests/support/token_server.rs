//! A token service as registries have it (distribution's "token authentication"), which really signs: docker-registry checks
//! every token against its certificate.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::cache::{readable_dir, run_dir};
use super::docker_registry::{Kind, PASSWORD, Registry, USERNAME, run};
use super::http::{Request, Response, Server};
use super::need::{Need, need};
use super::trial::Stop;

pub(super) const SERVICE: &str = "rpod-tests";
/// A refresh token that the service takes.
pub const IDENTITY: &str = "identity-of-tester";

/// A registry and the service that it sends its clients to, on another host name.
#[derive(Debug)]
pub struct TokenServer {
    pub registry: Registry,
    pub tokens: Server,
}

impl TokenServer {
    /// Anybody may pull from `public/`, the tester may do everything.
    pub fn start() -> Result<Self, Stop> {
        need([Need::DockerRegistry, Need::Openssl])?;
        let dir = keys()?;
        let tokens = Server::start(|request| answer(request, dir));
        let registry = Registry::empty_as(Kind { tokens: Some(tokens.port()), ..Kind::default() })?;
        Ok(Self { registry, tokens })
    }
}

/// The directory with token.key and token.crt.
pub(super) fn keys() -> Result<&'static Path, Stop> {
    static KEYS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = KEYS.get_or_init(|| {
        let dir = run_dir().join("token-service");
        readable_dir(&dir).map_err(|e| e.to_string())?;
        let words = "req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=tokens -keyout token.key -out token.crt";
        run(Command::new("openssl").current_dir(&dir).args(words.split(' '))).map_err(|stop| format!("{stop:?}"))?;
        Ok(dir)
    });
    made.as_deref().map_err(|e| Stop::Fail(e.clone()))
}

fn answer(request: &Request, keys: &Path) -> Response {
    let form = String::from_utf8_lossy(&request.body).into_owned();
    let query = request.target.split_once('?').map_or("", |(_, query)| query).to_owned();
    let parameters: Vec<(String, String)> = query
        .split('&')
        .chain(form.split('&'))
        .filter_map(|p| p.split_once('='))
        .map(|(k, v)| (k.to_owned(), decoded(v)))
        .collect();
    let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let known = match (request.header("authorization"), find("refresh_token")) {
        (None, None) => false,
        (Some(header), _) if header == format!("Basic {}", STANDARD.encode(format!("{USERNAME}:{PASSWORD}"))) => true,
        (_, Some(IDENTITY)) => true,
        _ => {
            return Response::new(401)
                .body(json!({"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}).to_string());
        }
    };
    let scopes = parameters.iter().filter(|(key, _)| key == "scope").flat_map(|(_, value)| value.split(' '));
    let access: Vec<_> = scopes
        .filter_map(|scope| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, actions) = rest.rsplit_once(':')?;
            let allowed = |action: &&str| known || *action == "pull" && name.starts_with("public/");
            let actions: Vec<&str> = actions.split(',').filter(allowed).collect();
            Some(json!({"type": kind, "name": name, "actions": actions}))
        })
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": SERVICE, "sub": USERNAME, "aud": find("service"), "iat": now, "nbf": now - 5, "exp": now + 300,
        "jti": now.to_string(), "access": access,
    });
    let token = sign(keys, &claims.to_string());
    // The two forms that there are.
    let name = if request.method == "POST" { "access_token" } else { "token" };
    Response::new(200)
        .header("Content-Type", "application/json")
        .body(json!({name: token, "expires_in": 300}).to_string())
}

/// A JSON Web Token (RS256), with the certificate that proves the key.
fn sign(keys: &Path, claims: &str) -> String {
    let pem = std::fs::read_to_string(keys.join("token.crt")).unwrap();
    let certificate: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [certificate]}).to_string();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut openssl = Command::new("openssl")
        .current_dir(keys)
        .args(["dgst", "-sha256", "-sign", "token.key"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut openssl.stdin.take().unwrap(), signed.as_bytes()).unwrap();
    let signature = openssl.wait_with_output().unwrap().stdout;
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Percent-decoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(&String::from_utf8_lossy(&hex), 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
