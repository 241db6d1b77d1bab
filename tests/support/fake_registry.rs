//! A registry that serves what a test gives it, and misbehaves where the test says so.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::http::{Request, Response, Server};
use super::image::{Image, Manifest, sha256};

/// Content by path; [`FakeRegistry::serve`] starts a server of it.
#[derive(Debug, Clone, Default)]
pub struct FakeRegistry {
    content: BTreeMap<String, (String, Vec<u8>)>,
}

impl FakeRegistry {
    /// The image as `NAME:latest`, its manifest also by digest.
    pub fn of(name: &str, image: &Image) -> Self {
        let mut registry = Self::default();
        let (manifest, blobs) = image.manifest(Manifest::Oci);
        for blob in blobs {
            registry = registry.blob(name, &blob);
        }
        registry.manifest(name, Manifest::Oci.media_type(), &manifest)
    }

    #[must_use]
    pub fn blob(self, name: &str, blob: &[u8]) -> Self {
        let path = format!("/v2/{name}/blobs/{}", sha256(blob));
        self.at(&path, "application/octet-stream", blob)
    }

    /// A manifest or index, as the tag `latest` and by its digest.
    #[must_use]
    pub fn manifest(self, name: &str, media_type: &str, manifest: &[u8]) -> Self {
        self.at(&format!("/v2/{name}/manifests/{}", sha256(manifest)), media_type, manifest).at(
            &format!("/v2/{name}/manifests/latest"),
            media_type,
            manifest,
        )
    }

    /// Anything at a path.
    #[must_use]
    pub fn at(mut self, path: &str, media_type: &str, body: &[u8]) -> Self {
        self.content.insert(path.to_owned(), (media_type.to_owned(), body.to_vec()));
        self
    }

    /// The honest answer, with ranges.
    pub fn answer(&self, request: &Request) -> Response {
        if request.path() == "/v2/" {
            return Response::new(200).header("Docker-Distribution-Api-Version", "registry/2.0").body("{}");
        }
        let Some((media_type, body)) = self.content.get(request.path()) else {
            let error = json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "not here"}]});
            return Response::new(404).header("Content-Type", "application/json").body(error.to_string());
        };
        let response = Response::new(200)
            .header("Content-Type", media_type.clone())
            .header("Docker-Content-Digest", sha256(body))
            .header("Accept-Ranges", "bytes");
        let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
        let start = range.and_then(|range| range.split('-').next()?.parse::<usize>().ok());
        match start.filter(|start| *start < body.len()) {
            Some(start) => {
                let mut partial =
                    response.header("Content-Range", format!("bytes {start}-{}/{}", body.len() - 1, body.len()));
                partial.status = 206;
                partial.body(&body[start..])
            }
            None => response.body(body.clone()),
        }
    }

    /// Serves it; `change` sees every request with its honest answer, and how often this path was asked for before.
    pub fn serve(self, change: impl Fn(&Request, Response, usize) -> Response + Send + Sync + 'static) -> Server {
        let counts = std::sync::Mutex::new(BTreeMap::<String, usize>::new());
        Server::start(move |request| {
            let before = {
                let mut counts = counts.lock().unwrap();
                let count = counts.entry(format!("{} {}", request.method, request.path())).or_default();
                *count += 1;
                *count - 1
            };
            change(request, self.answer(request), before)
        })
    }

    pub fn serve_honestly(self) -> Server {
        self.serve(|_, answer, _| answer)
    }
}

/// An OCI index of these manifests (media type, bytes, platform).
pub fn index_of(manifests: &[(&str, &[u8], Value)]) -> Vec<u8> {
    let entries: Vec<Value> = manifests
        .iter()
        .map(|(media_type, bytes, platform)| {
            json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len(), "platform": platform})
        })
        .collect();
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries})
        .to_string()
        .into_bytes()
}
