//! A file from a web server: what ADD of a URL and remote build contexts need.

use std::io::Write;

use futures_util::StreamExt;
use reqwest::Url;
use reqwest::header::LAST_MODIFIED;

use super::Options;
use super::http::{Http, Request};
use super::retry::Failure;
use crate::error::{Context, Error, Result};

/// What a server said beside the content.
#[derive(Debug, Default)]
pub(crate) struct Downloaded {
    /// Seconds since the epoch.
    pub modified: Option<i64>,
}

/// Writes what `url` has to `out`. Starts threads.
pub(crate) fn download(url: &str, out: &mut dyn Write) -> Result<Downloaded> {
    let failed = || format!("cannot download {url}");
    let parsed = Url::parse(url).context(failed)?;
    let host = parsed.host_str().ok_or_else(|| Error::new(format!("{}: it names no host", failed())))?.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context(failed)?;
    runtime.block_on(async {
        let http = Http::new(&host, false, false, &Options::default())?;
        let response = match http.send(&Request::get(parsed, "*/*")).await {
            Ok(response) => response,
            Err(Failure::Passing(error, _) | Failure::Final(error)) => return Err(Error::wrap(failed(), error)),
        };
        if !response.status().is_success() {
            return Err(Error::new(format!("{}: the server answers {}", failed(), response.status())));
        }
        let modified = response.headers().get(LAST_MODIFIED).and_then(|value| value.to_str().ok()).and_then(date);
        let mut stream = response.bytes_stream();
        while let Some(bytes) = stream.next().await {
            out.write_all(&bytes.context(failed)?).context(failed)?;
        }
        Ok(Downloaded { modified })
    })
}

/// `Wed, 21 Oct 2015 07:28:00 GMT` (RFC 9110).
fn date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp().as_second())
}
