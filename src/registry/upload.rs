//! Blobs and manifests to a registry (distribution spec 1.1, "Push").
//!
//! A blob is sent in parts (`PATCH` with `Content-Range`): its digest need not be known before its end, and after a broken
//! connection the registry is asked how much has come, so that only a part is sent again. A blob of one part goes in one
//! `PUT`.

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::client::Registry;
use super::http::{Body, Request, refusal, shown, target};
use super::retry::{Attempts, Failure};
use crate::error::{Error, Result};
use crate::image::digest::Digest;

/// What is sent at once and kept in memory until the registry has it.
const PART: usize = 8 << 20;
/// No registry may make us keep more than this (`OCI-Chunk-Min-Length`).
const LARGEST_PART: usize = 32 << 20;

/// A blob being sent.
#[derive(Debug)]
pub(crate) struct Upload<'a> {
    registry: &'a Registry,
    /// Where the next part goes; every answer names it anew.
    location: Url,
    /// Bytes that the registry has.
    sent: u64,
    part: BytesMut,
    part_size: usize,
}

impl Registry {
    /// Whether the repository has the blob.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let path = format!("blobs/{digest}");
        self.repeat(|| async {
            let request = Request::new(Method::HEAD, self.url(&path).await?);
            let response = self.authorized(request).await?;
            match response.status() {
                StatusCode::OK => Ok(true),
                // What may not be read is sent.
                StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(false),
                _ => Err(refusal(response).await.into()),
            }
        })
        .await
    }

    /// Lets the repository have a blob of the repository `from` of the same registry, without its bytes. Registries may
    /// decline, for whatever reason.
    pub(crate) async fn mount(&self, digest: &Digest, from: &str) -> Result<bool> {
        let path = format!("blobs/uploads/?mount={digest}&from={from}");
        let response = self.repeat(|| async {
            let url = self.url(&path).await?;
            Ok((self.authorized(Request::new(Method::POST, url.clone())).await?, url))
        });
        let (response, url) = response.await?;
        match response.status() {
            StatusCode::CREATED => Ok(true),
            StatusCode::ACCEPTED => {
                // It has begun an upload instead.
                if let Ok(location) = self.upload_location(&url, response.headers()) {
                    self.cancel(location).await;
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Begins to send a blob.
    pub(crate) async fn upload(&self) -> Result<Upload<'_>> {
        self.repeat(|| async {
            let url = self.url("blobs/uploads/").await?;
            let response = self.authorized(Request::new(Method::POST, url.clone())).await?;
            if response.status() != StatusCode::ACCEPTED {
                return Err(refusal(response).await.into());
            }
            let location = self.upload_location(&url, response.headers())?;
            let least = response.headers().get("oci-chunk-min-length").and_then(|v| v.to_str().ok()?.parse().ok());
            let part_size = least.unwrap_or(0).clamp(PART, LARGEST_PART);
            Ok(Upload { registry: self, location, sent: 0, part: BytesMut::new(), part_size })
        })
        .await
    }

    /// A whole blob that is in memory.
    pub(crate) async fn put_blob(&self, content: &[u8]) -> Result<()> {
        let mut upload = self.upload().await?;
        upload.write(content).await?;
        upload.finish(&Digest::of(content)).await
    }

    /// Puts a manifest under a tag or its digest.
    pub(crate) async fn put_manifest(&self, name: &str, media_type: &str, content: &[u8]) -> Result<()> {
        let path = format!("manifests/{name}");
        let content = Bytes::copy_from_slice(content);
        self.repeat(|| async {
            let body = Body { bytes: content.clone(), content_type: media_type.to_owned(), range: None };
            let request = Request { body: Some(body), ..Request::new(Method::PUT, self.url(&path).await?) };
            let response = self.authorized(request).await?;
            if !response.status().is_success() {
                return Err(refusal(response).await.into());
            }
            // A registry that keeps something else would break every digest that is told.
            let named = response.headers().get("docker-content-digest").and_then(|v| v.to_str().ok()?.parse().ok());
            let digest = Digest::of(&content);
            if let Some(named) = named.filter(|named: &Digest| *named != digest) {
                return Err(super::client::wrong_digest("the manifest that the registry kept", digest, named).into());
            }
            Ok(())
        })
        .await
    }

    /// The location may be on another host, which then gets no credentials, but nowhere without TLS from one with it.
    fn upload_location(&self, from: &Url, headers: &HeaderMap) -> Result<Url> {
        let location = target(from, headers)?;
        self.http.check_safe(from, &location)?;
        Ok(location)
    }

    /// To an upload's location.
    async fn to_location(&self, request: Request<'_>) -> Result<Response, Failure> {
        let own = self.root_url("").await?;
        if request.url.origin() == own.origin() {
            return self.authorized(request).await;
        }
        let url = shown(&request.url);
        let response = self.http.send(&request).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(
                Error::new(format!("{url}, where the registry sends uploads, wants credentials of its own")).into()
            );
        }
        Ok(response)
    }

    /// Gives an upload up; registries clean up by themselves as well.
    async fn cancel(&self, location: Url) {
        let _ = self.to_location(Request::new(Method::DELETE, location)).await;
    }
}

impl Upload<'_> {
    /// Adds to the blob.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.part_size - self.part.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.part.extend_from_slice(now);
            bytes = later;
            // The last part goes with the PUT.
            if self.part.len() == self.part_size && !bytes.is_empty() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Ends the blob, whose bytes have this digest.
    pub(crate) async fn finish(mut self, digest: &Digest) -> Result<()> {
        // A part beside others goes as the others did: registries disagree about a PUT with the last of several.
        if self.sent > 0 && !self.part.is_empty() {
            self.flush().await?;
        }
        let part = self.part.split().freeze();
        let mut attempts = Attempts::new(&self.registry.policy);
        loop {
            let failure = match self.put(digest, part.clone()).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            attempts.after(failure).await?;
            // The answer may be what was lost.
            if self.registry.has_blob(digest).await? {
                return Ok(());
            }
            if !part.is_empty() {
                // Nobody knows what an interrupted PUT left of its only part.
                self.location = self.registry.upload().await?.location;
            }
        }
    }

    async fn put(&self, digest: &Digest, part: Bytes) -> Result<(), Failure> {
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let body = (!part.is_empty()).then(|| Body { bytes: part, content_type: BINARY.to_owned(), range: None });
        let response = self.registry.to_location(Request { body, ..Request::new(Method::PUT, url) }).await?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(refusal(response).await.into()),
        }
    }

    /// Sends what is there as a part; after a broken connection only what did not come.
    async fn flush(&mut self) -> Result<()> {
        let part = self.part.split().freeze();
        let end = self.sent + part.len() as u64;
        let start = self.sent;
        let mut attempts = Attempts::new(&self.registry.policy);
        while self.sent < end {
            let from = usize::try_from(self.sent - start).unwrap_or_default();
            let rest = part.slice(from..);
            match self.patch(rest).await {
                Ok(()) => self.sent = end,
                Err(failure) => {
                    attempts.after(failure).await?;
                    self.resume(start, end).await?;
                }
            }
        }
        Ok(())
    }

    async fn patch(&mut self, bytes: Bytes) -> Result<(), Failure> {
        let range = format!("{}-{}", self.sent, self.sent + bytes.len() as u64 - 1);
        let body = Body { bytes, content_type: BINARY.to_owned(), range: Some(range) };
        let request = Request { body: Some(body), ..Request::new(Method::PATCH, self.location.clone()) };
        let response = self.registry.to_location(request).await?;
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT | StatusCode::CREATED => {
                self.location = self.registry.upload_location(&self.location, response.headers())?;
                Ok(())
            }
            // It has something else than we think; asking tells.
            StatusCode::RANGE_NOT_SATISFIABLE => Err(Failure::Passing(refusal(response).await, None)),
            _ => Err(refusal(response).await.into()),
        }
    }

    /// Asks how much has come.
    async fn resume(&mut self, start: u64, end: u64) -> Result<()> {
        let registry = self.registry;
        let location = self.location.clone();
        let (location, has) = registry
            .repeat(|| async {
                let response = registry.to_location(Request::new(Method::GET, location.clone())).await?;
                if !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::ACCEPTED | StatusCode::OK) {
                    return Err(refusal(response).await.into());
                }
                let next = registry.upload_location(&location, response.headers()).unwrap_or(location.clone());
                Ok((next, received(response.headers())))
            })
            .await?;
        self.location = location;
        let has = has.ok_or_else(|| Error::new("the registry does not say how much of an upload it has"))?;
        if has < start || has > end {
            return Err(Error::new(format!("the registry lost a part of an upload: it has {has} bytes of {end}")));
        }
        self.sent = has;
        Ok(())
    }

    /// Gives it up.
    pub(crate) async fn cancel(self) {
        self.registry.cancel(self.location).await;
    }
}

const BINARY: &str = "application/octet-stream";

/// `Range: 0-N`, the last byte that has come; `0-0` also stands for none at all.
fn received(headers: &HeaderMap) -> Option<u64> {
    let (_, last) = headers.get(RANGE)?.to_str().ok()?.trim_start_matches("bytes=").split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    if last == 0 { Some(0) } else { last.checked_add(1) }
}
