//! A blob from the registry into a writer: hashed on the way, resumed where it broke off.
//!
//! What was written cannot be taken back, so a broken connection goes on at the byte where it stopped (`Range`); a server that
//! sends everything again has its beginning skipped. The digest is over all of it, whoever sent the parts.

use std::io::{Read as _, Write as _};

use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::client::{Registry, wrong_digest};
use super::http::plain;
use super::retry::{Attempts, Failure};
use crate::error::Error;
use crate::image::digest::Digest;
use crate::image::manifest::Descriptor;

/// Is told how many bytes have arrived.
pub(crate) type Meter<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// A file that keeps what has come of a blob, for when the transfer is cut off. What it has already comes from there.
pub(crate) type Kept<'a> = &'a mut std::fs::File;

/// Which end failed.
#[derive(Debug)]
pub(crate) enum TransferError {
    /// The connection, or what the registry answers.
    Source(Error),
    /// What it delivers: the size or the digest is wrong.
    Content(Error),
    /// The writer; its owner knows why.
    Sink,
}

/// What was kept is read in pieces of this size.
const PIECE: usize = 256 << 10;

/// So much progress makes up for an earlier failure.
const WORTH_A_RETRY: u64 = 64 << 10;

struct Progress<'a, W> {
    out: &'a mut W,
    hash: Sha256,
    received: u64,
    meter: Meter<'a>,
    /// `None` without one, or once it could not be written: the transfer itself goes on.
    kept: Option<Kept<'a>>,
}

enum Stop {
    Failure(Failure),
    Content(Error),
    /// The registry thinks that this was all. A proxy may have cut it, so it is asked for the rest.
    Short(Error),
    Sink,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Registry {
    /// Streams the blob into `out`, beginning with what `kept` has of it. After an error what `out` got is worthless, also after the last byte: the digest comes last.
    pub(crate) async fn copy_blob<W: AsyncWrite + Unpin>(
        &self,
        descriptor: &Descriptor,
        out: &mut W,
        meter: Meter<'_>,
        kept: Option<Kept<'_>>,
    ) -> Result<(), TransferError> {
        let mut attempts = Attempts::new(&self.policy);
        let mut progress = Progress { out, hash: Sha256::new(), received: 0, meter, kept };
        progress.begin(descriptor).await?;
        loop {
            let before = progress.received;
            match self.transfer(descriptor, &mut progress).await {
                Ok(()) => break,
                Err(Stop::Sink) => return Err(TransferError::Sink),
                Err(Stop::Content(error)) => return Err(TransferError::Content(error)),
                Err(Stop::Short(error)) => {
                    attempts.after(Failure::Passing(error, None)).await.map_err(TransferError::Content)?;
                }
                Err(Stop::Failure(failure)) => {
                    if progress.received - before >= WORTH_A_RETRY {
                        attempts.reset();
                    }
                    attempts.after(failure).await.map_err(TransferError::Source)?;
                }
            }
        }
        let found = Digest::from_bytes(progress.hash.finalize().into());
        if found != descriptor.digest {
            return Err(TransferError::Content(wrong_digest("a layer", descriptor.digest, found)));
        }
        Ok(())
    }

    /// One connection's worth.
    async fn transfer<W: AsyncWrite + Unpin>(
        &self,
        descriptor: &Descriptor,
        progress: &mut Progress<'_, W>,
    ) -> Result<(), Stop> {
        if progress.received == descriptor.size {
            return Ok(());
        }
        let path = format!("blobs/{}", descriptor.digest);
        let response = self.request(&path, "*/*", progress.received).await?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(Stop::Content(too_short(descriptor, progress.received)));
        }
        let response = self.success(response).await?;
        let mut skip = skipped(&response, progress.received)?;
        if let Some(length) = response.content_length() {
            let total = (progress.received - skip).saturating_add(length);
            if total > descriptor.size {
                return Err(Stop::Content(too_long(descriptor)));
            }
        }
        let mut response = response;
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(e) => {
                    let what = format!("the transfer of {} broke off", descriptor.digest);
                    return Err(Failure::Passing(Error::wrap(what, plain(e)), None).into());
                }
            };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= known as u64;
            let new = &chunk[known..];
            if progress.received + new.len() as u64 > descriptor.size {
                return Err(Stop::Content(too_long(descriptor)));
            }
            if progress.kept.as_mut().is_some_and(|kept| kept.write_all(new).is_err()) {
                progress.kept = None;
            }
            progress.take(new).await.map_err(|_| Stop::Sink)?;
        }
        if progress.received < descriptor.size {
            return Err(Stop::Short(too_short(descriptor, progress.received)));
        }
        Ok(())
    }
}

impl<W: AsyncWrite + Unpin> Progress<'_, W> {
    /// What was kept of an earlier transfer, as if it came now.
    async fn begin(&mut self, descriptor: &Descriptor) -> Result<(), TransferError> {
        let Some(kept) = self.kept.take() else { return Ok(()) };
        let failed =
            |e| TransferError::Source(Error::wrap(format!("cannot read what is there of {}", descriptor.digest), e));
        let mut buffer = vec![0; PIECE];
        loop {
            let read = kept.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            if self.received + read as u64 > descriptor.size {
                return Err(TransferError::Content(too_long(descriptor)));
            }
            self.take(&buffer[..read]).await.map_err(|_| TransferError::Sink)?;
        }
        self.kept = Some(kept);
        Ok(())
    }

    async fn take(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes).await?;
        self.received += bytes.len() as u64;
        (self.meter)(self.received);
        Ok(())
    }
}

/// How many bytes at the start of the body have been received before.
fn skipped(response: &Response, received: u64) -> Result<u64, Failure> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(received);
    }
    // "bytes 100-199/200"
    let start = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok()?.strip_prefix("bytes ")?.split('-').next()?.trim().parse::<u64>().ok());
    match start {
        Some(start) if start <= received => Ok(received - start),
        _ => Err(Failure::Final(Error::new("the registry sends another range than it was asked for"))),
    }
}

fn too_short(descriptor: &Descriptor, received: u64) -> Error {
    Error::new(format!("{} ends after {received} of {} bytes", descriptor.digest, descriptor.size))
}

fn too_long(descriptor: &Descriptor) -> Error {
    Error::new(format!("{} is longer than the {} bytes the manifest says", descriptor.digest, descriptor.size))
}
