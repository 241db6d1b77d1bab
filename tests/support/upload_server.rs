//! A registry that takes uploads, in memory, and misbehaves where the test says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::http::{Request, Response, Server};
use super::image::sha256;

/// What has come.
#[derive(Debug, Default)]
pub struct Received {
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub manifests: BTreeMap<String, Vec<u8>>,
    sessions: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug)]
pub struct UploadServer {
    pub server: Server,
    received: Arc<Mutex<Received>>,
}

impl UploadServer {
    /// `spoil` may answer instead of the registry, after it (given its answer), for the n-th request of this method and path.
    pub fn start(spoil: impl Fn(&Request, Response, usize) -> Response + Send + Sync + 'static) -> Self {
        Self::listening(spoil, |_| true)
    }

    /// One that takes the bodies of those requests only for which `listens` says so.
    pub fn listening(
        spoil: impl Fn(&Request, Response, usize) -> Response + Send + Sync + 'static,
        listens: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) -> Self {
        let received = Arc::new(Mutex::new(Received::default()));
        let (shared, counts) = (Arc::clone(&received), Mutex::new(BTreeMap::<String, usize>::new()));
        let answer = move |request: &Request| {
            let kind = if request.path().contains("/uploads/") { "uploads" } else { request.path() };
            let before = {
                let mut counts = counts.lock().unwrap();
                let count = counts.entry(format!("{} {kind}", request.method)).or_default();
                *count += 1;
                *count - 1
            };
            let answer = shared.lock().unwrap().answer(request);
            spoil(request, answer, before)
        };
        let server = Server::listening(answer, listens);
        Self { server, received }
    }

    pub fn host(&self) -> String {
        self.server.host()
    }

    /// A manifest that was put, by its tag.
    pub fn manifest(&self, tag: &str) -> Option<Vec<u8>> {
        self.received.lock().unwrap().manifests.get(tag).cloned()
    }

    pub fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        self.received.lock().unwrap().blobs.get(digest).cloned()
    }
}

impl Received {
    fn answer(&mut self, request: &Request) -> Response {
        let path = request.path();
        if path == "/v2/" {
            return Response::new(200).body("{}");
        }
        let last = path.rsplit('/').next().unwrap_or_default().to_owned();
        match (request.method.as_str(), path.contains("/uploads/")) {
            ("POST", _) => {
                let id = format!("s{}", self.sessions.len() + 1);
                self.sessions.insert(id.clone(), Vec::new());
                Response::new(202).header("Location", format!("{path}{id}"))
            }
            ("GET" | "PATCH" | "PUT", true) => self.session(request, &last),
            ("DELETE", true) => Response::new(204),
            ("HEAD", false) => Response::new(if self.blobs.contains_key(&last) { 200 } else { 404 }),
            ("PUT", false) => {
                let digest = sha256(&request.body);
                self.manifests.insert(last, request.body.clone());
                Response::new(201).header("Docker-Content-Digest", digest)
            }
            _ => Response::new(404),
        }
    }

    fn session(&mut self, request: &Request, id: &str) -> Response {
        let Some(content) = self.sessions.get_mut(id) else { return Response::new(404) };
        let range = |length: usize| format!("0-{}", length.saturating_sub(1));
        match request.method.as_str() {
            "PATCH" => {
                let start = request.header("content-range").and_then(|range| range.split('-').next()?.parse().ok());
                if start != Some(content.len()) {
                    return Response::new(416).header("Range", range(content.len()));
                }
                content.extend_from_slice(&request.body);
                Response::new(202).header("Location", request.path()).header("Range", range(content.len()))
            }
            "GET" => Response::new(204).header("Location", request.path()).header("Range", range(content.len())),
            _ => {
                content.extend_from_slice(&request.body);
                let wanted = request.target.split("digest=").nth(1).unwrap_or_default().replace("%3A", ":");
                if sha256(content) != wanted {
                    return Response::new(400).body("digest invalid");
                }
                self.blobs.insert(wanted, content.clone());
                Response::new(201)
            }
        }
    }
}
