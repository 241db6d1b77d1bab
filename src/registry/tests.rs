//! The client against registries that misbehave: a small HTTP server whose answers are written byte for byte here.
//! (That the client works with a real registry is shown by the tests that go through the binary.)

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::sources::Source;
use super::*;
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::manifest::Descriptor;
use crate::image::reference::Reference;

/// What the server got, one per request.
#[derive(Debug, Clone, Default)]
struct Asked {
    path: String,
    authorization: Option<String>,
    range: Option<u64>,
}

/// What it does with the connection.
enum Reply {
    /// These bytes, then the connection ends.
    Bytes(Vec<u8>),
    /// These bytes, then silence.
    Silence(Vec<u8>),
    /// These bytes, then zeros until the client has enough.
    Endless(Vec<u8>),
}

struct Hostile {
    address: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

impl Hostile {
    /// `answer` gets the number of the request and what was asked.
    fn start(answer: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address").to_string();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (log_inside, answer, count) = (Arc::clone(&log), Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer, count) = (Arc::clone(&log_inside), Arc::clone(&answer), Arc::clone(&count));
                std::thread::spawn(move || {
                    let Some(asked) = read_request(&stream) else {
                        // As Go's server does when it is greeted in TLS.
                        let refusal =
                            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.".to_vec();
                        return respond(stream, Reply::Bytes(refusal));
                    };
                    log.lock().expect("log").push(asked.clone());
                    respond(stream, answer(count.fetch_add(1, Ordering::SeqCst), &asked));
                });
            }
        });
        Self { address, log }
    }

    fn asked(&self) -> Vec<Asked> {
        self.log.lock().expect("log").clone()
    }

    fn registry(&self) -> Registry {
        self.registry_with(None)
    }

    fn registry_with(&self, credentials: Option<&str>) -> Registry {
        let options = Options {
            credentials: credentials.map(|text| Credentials::parse(text).expect("credentials")),
            auth_file: None,
            retry: RetryPolicy { retries: 3, delay: Duration::from_millis(10), is_asked: false },
            stall: Duration::from_millis(300),
            ..Options::default()
        };
        let reference = Reference::parse(&format!("{}/app:1", self.address)).expect("reference");
        Registry::new(&Source { reference, insecure: true, is_mirror: false }, &options).expect("registry")
    }
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.strip_prefix("GET ").or_else(|| line.strip_prefix("POST "))?.split(' ').next()?.to_owned();
    let mut asked = Asked { path, ..Asked::default() };
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { return Some(asked) };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => asked.authorization = Some(value.to_owned()),
            "range" => asked.range = value.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok(),
            _ => {}
        }
    }
}

fn respond(mut stream: TcpStream, reply: Reply) {
    match reply {
        Reply::Bytes(bytes) => drop(stream.write_all(&bytes)),
        Reply::Silence(bytes) => {
            let _ = stream.write_all(&bytes);
            std::thread::sleep(Duration::from_secs(5));
        }
        Reply::Endless(bytes) => {
            let _ = stream.write_all(&bytes);
            while stream.write_all(&[b' '; 65536]).is_ok() {}
        }
    }
}

fn http(status: &str, headers: &[&str], body: &[u8]) -> Reply {
    let mut bytes = format!("HTTP/1.1 {status}\r\nConnection: close\r\n").into_bytes();
    headers.iter().for_each(|header| bytes.extend(format!("{header}\r\n").bytes()));
    if !headers.iter().any(|h| h.starts_with("Content-Length") || h.starts_with("Transfer")) {
        bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    Reply::Bytes(bytes)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(future)
}

fn blob() -> Vec<u8> {
    (0..400_000u32).flat_map(u32::to_le_bytes).collect()
}

fn descriptor(content: &[u8]) -> Descriptor {
    Descriptor::of("application/vnd.oci.image.layer.v1.tar", content)
}

fn fetch(registry: &Registry, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let outcome = run(registry.copy_blob(descriptor, &mut out, &|_| {}, None));
    outcome.map(|()| out).map_err(|error| match error {
        TransferError::Source(error) | TransferError::Content(error) => error,
        TransferError::Sink => Error::new("the writer failed"),
    })
}

/// A part of the blob from the byte asked for, with `Content-Range`.
fn part(content: &[u8], asked: &Asked, most: usize) -> Reply {
    let start = usize::try_from(asked.range.unwrap_or(0)).expect("range");
    let rest = &content[start..];
    let range = format!("Content-Range: bytes {start}-{}/{}", content.len() - 1, content.len());
    let status = if asked.range.is_some() { "206 Partial Content" } else { "200 OK" };
    let length = format!("Content-Length: {}", rest.len());
    http(status, &[&range, &length], &rest[..rest.len().min(most)])
}

#[test]
fn resumes_where_it_broke_off() {
    let content = blob();
    let served = content.clone();
    let server = Hostile::start(move |_, asked| part(&served, asked, 300_000));
    assert!(fetch(&server.registry(), &descriptor(&content)).expect("blob") == content);
    let ranges: Vec<_> = server.asked().iter().map(|asked| asked.range).collect();
    assert_eq!(ranges[..3], [None, Some(300_000), Some(600_000)]);
    assert_eq!(ranges.len(), 6, "the last part is the sixth");
}

#[test]
fn resumes_after_a_stall() {
    let content = blob();
    let served = content.clone();
    let server =
        Hostile::start(move |n, asked| match (n, part(&served, asked, if n == 0 { 500_000 } else { usize::MAX })) {
            (0, Reply::Bytes(bytes)) => Reply::Silence(bytes),
            (_, reply) => reply,
        });
    assert!(fetch(&server.registry(), &descriptor(&content)).expect("blob") == content);
    assert_eq!(server.asked()[1].range, Some(500_000));
}

#[test]
fn a_server_without_ranges_is_read_again() {
    let content = blob();
    let served = content.clone();
    let server = Hostile::start(move |n, _| {
        let length = format!("Content-Length: {}", served.len());
        http("200 OK", &[&length], &served[..if n == 0 { 700_000 } else { served.len() }])
    });
    assert!(fetch(&server.registry(), &descriptor(&content)).expect("blob") == content);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn gives_up_on_a_server_that_never_delivers() {
    let content = blob();
    let served = content.clone();
    // It counts each time, but never reaches the end.
    let server = Hostile::start(move |_, asked| part(&served, asked, 100));
    let error = fetch(&server.registry(), &descriptor(&content)).expect_err("never").to_string();
    assert!(error.contains("broke off"), "{error}");
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn wrong_content_is_refused() {
    let content = blob();
    let mut forged = content.clone();
    forged[1_000_000] ^= 1;
    let mut long = content.clone();
    long.push(0);
    for (served, expected) in
        [(forged, "wrong digest"), (long, "longer than"), (content[..content.len() - 1].to_vec(), "ends after")]
    {
        let server = Hostile::start(move |_, asked| match asked.range {
            None => http("200 OK", &[], &served),
            Some(_) => http("200 OK", &[], &served),
        });
        let error = fetch(&server.registry(), &descriptor(&content)).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_endless_blob_ends() {
    let server = Hostile::start(|_, _| {
        Reply::Endless(b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nConnection: close\r\n\r\n".to_vec())
    });
    let error = fetch(&server.registry(), &descriptor(&blob())).expect_err("endless").to_string();
    assert!(error.contains("longer than"), "{error}");
}

#[test]
fn a_wrong_range_is_refused() {
    let content = blob();
    let served = content.clone();
    let server = Hostile::start(move |n, asked| match n {
        0 => part(&served, asked, 100_000),
        _ => http("206 Partial Content", &["Content-Range: bytes 999999-1599999/1600000"], &served[999_999..]),
    });
    let error = fetch(&server.registry(), &descriptor(&content)).expect_err("range").to_string();
    assert!(error.contains("another range"), "{error}");
}

#[test]
fn busy_servers_are_asked_again() {
    let body = br#"{"schemaVersion":2,"manifests":[]}"#;
    for status in ["429 Too Many Requests", "500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable"] {
        let server = Hostile::start(move |n, _| match n {
            0 => http(status, &["Retry-After: 1"], b"slow down"),
            _ => http("200 OK", &[], body),
        });
        let begin = Instant::now();
        let fetched = run(server.registry().manifest()).expect(status);
        assert_eq!(fetched.content, body);
        assert!(begin.elapsed() >= Duration::from_secs(1), "{status}: Retry-After counts");
    }
}

#[test]
fn gives_up_with_the_reason() {
    let server = Hostile::start(|_, _| {
        http("500 Internal Server Error", &[], br#"{"errors":[{"code":"UNKNOWN","message":"disk full"}]}"#)
    });
    let error = run(server.registry().manifest()).expect_err("500").to_string();
    assert!(error.ends_with("answers 500: disk full"), "{error}");
    assert_eq!(server.asked().len(), 4);

    let server = Hostile::start(|_, _| http("429 Too Many Requests", &["Retry-After: 86400"], b""));
    assert!(run(server.registry().manifest()).is_err());
    assert_eq!(server.asked().len(), 1, "a day is too long to wait");

    let server = Hostile::start(|_, _| http("404 Not Found", &[], b""));
    assert!(run(server.registry().manifest()).is_err());
    assert_eq!(server.asked().len(), 1, "what is not there does not come back");
}

#[test]
fn manifests_have_a_limit() {
    let server = Hostile::start(|_, _| http("200 OK", &["Content-Length: 999999999999"], b"{"));
    let error = run(server.registry().manifest()).expect_err("claimed").to_string();
    assert!(error.contains("larger than"), "{error}");
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n".to_vec();
    let server = Hostile::start(move |_, _| Reply::Endless(head.clone()));
    let error = run(server.registry().manifest()).expect_err("endless").to_string();
    assert!(error.contains("larger than"), "{error}");
    let head = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n".to_vec();
    let server = Hostile::start(move |_, _| Reply::Endless(head.clone()));
    assert!(run(server.registry().manifest()).is_err(), "an endless error message");
}

#[test]
fn manifests_must_match_their_digest() {
    let header = format!("Docker-Content-Digest: {}", Digest::of(b"other"));
    let server = Hostile::start(move |_, _| http("200 OK", &[&header], b"{}"));
    let error = run(server.registry().manifest()).expect_err("header").to_string();
    assert!(error.contains("wrong digest"), "{error}");
    let server = Hostile::start(|_, _| http("200 OK", &[], b"{}"));
    let entry = Descriptor::of("", b"{ }");
    assert!(run(server.registry().manifest_of(&entry)).is_err());
    let lying = Descriptor { size: 3, ..Descriptor::of("", b"{}") };
    let error = run(server.registry().manifest_of(&lying)).expect_err("size").to_string();
    assert!(error.contains("2 bytes, the index says 3"), "{error}");
    assert!(run(server.registry().small_blob(&Descriptor { size: u64::MAX, ..entry }, 1 << 20)).is_err());
}

#[test]
fn redirects_end() {
    let server = Hostile::start(|_, asked| http("302 Found", &[&format!("Location: {}", asked.path)], b""));
    let error = run(server.registry().manifest()).expect_err("itself").to_string();
    assert!(error.contains("redirects to itself"), "{error}");
    let server = Hostile::start(|n, _| http("307 Temporary Redirect", &[&format!("Location: /v2/{n}")], b""));
    let error = run(server.registry().manifest()).expect_err("loop").to_string();
    assert!(error.contains("more than 10 redirects"), "{error}");
    for location in ["file:///etc/passwd", "ftp://127.0.0.1/", "http://", "gopher:x"] {
        let server = Hostile::start(move |_, _| http("302 Found", &[&format!("Location: {location}")], b""));
        assert!(run(server.registry().manifest()).is_err(), "{location}");
        assert_eq!(server.asked().len(), 1, "{location}");
    }
}

#[test]
fn credentials_stay_with_their_host() {
    let content = blob();
    let served = content.clone();
    let store = Hostile::start(move |_, _| http("200 OK", &[], &served));
    let elsewhere = format!("Location: http://{}/blob", store.address);
    let server = Hostile::start(move |_, asked| match asked.authorization {
        None => http("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"x\""], b""),
        Some(_) => http("307 Temporary Redirect", &[&elsewhere], b""),
    });
    assert!(fetch(&server.registry_with(Some("u:p")), &descriptor(&content)).expect("blob") == content);
    assert_eq!(server.asked().last().and_then(|a| a.authorization.clone()).as_deref(), Some("Basic dTpw"));
    assert!(store.asked().iter().all(|asked| asked.authorization.is_none()));
}

#[test]
fn bearer_tokens_are_fetched_and_renewed() {
    let tokens = Hostile::start(|n, _| http("200 OK", &[], format!(r#"{{"token":"t{n}"}}"#).as_bytes()));
    let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"s\"", tokens.address);
    let body = br#"{"schemaVersion":2,"manifests":[]}"#;
    let server = Hostile::start(move |_, asked| match asked.authorization.as_deref() {
        // The first token is not good enough.
        Some("Bearer t1") => http("200 OK", &[], body),
        _ => http("401 Unauthorized", &[&challenge], b""),
    });
    run(server.registry_with(Some("u:p")).manifest()).expect("manifest");
    let asked = tokens.asked();
    assert_eq!(asked[0].path, "/token?scope=repository%3Aapp%3Apull&service=s&account=u");
    assert_eq!(asked[0].authorization.as_deref(), Some("Basic dTpw"));
    assert!(server.asked().iter().all(|a| !a.authorization.as_deref().unwrap_or_default().starts_with("Basic")));
}

#[test]
fn wrong_credentials_are_told_once() {
    let server = Hostile::start(|_, _| http("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"x\""], b""));
    let error = run(server.registry_with(Some("u:p")).manifest()).expect_err("refused");
    assert!(!error.hints().is_empty());
    assert_eq!(server.asked().len(), 2);
    assert!(run(server.registry().manifest()).is_err());
}

#[test]
fn insecure_only_where_configured() {
    let server = Hostile::start(|_, _| http("200 OK", &[], b"{}"));
    let reference = Reference::parse(&format!("{}/app:1", server.address)).expect("reference");
    let source = Source { reference, insecure: false, is_mirror: false };
    let registry =
        Registry::new(&source, &Options { stall: Duration::from_secs(2), ..Options::default() }).expect("registry");
    let error = run(registry.manifest()).expect_err("plain http");
    assert!(error.hints().iter().any(|hint| hint.contains("--tls-verify=false")), "{error} {:?}", error.hints());
    assert!(server.asked().is_empty(), "nothing was sent in the clear");
}
