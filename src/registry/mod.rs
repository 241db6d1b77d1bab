//! The distribution client: OCI distribution spec 1.1 and Docker's registry API v2.
//!
//! oci-client supplies the protocol's types, but not the requests: its client reads manifests, tokens and error bodies
//! without a limit, follows redirects from https to http, hides `Retry-After` and takes no client certificate, and a registry
//! is not to be trusted with any of that. So requests go through reqwest here:
//!
//! ```text
//! sources   a name → the places to ask
//! client    what callers use: a manifest, a small blob, a streamed blob of one repository
//! catalog   what a registry has: tags, repositories, searches
//! transfer  a blob into a writer: digest, size, stall, resume by Range
//! auth      WWW-Authenticate → basic or bearer token          credentials  auth files      helper  docker-credential-*
//! http      one request: https or http, redirects by hand, limits, what may be retried
//! login     credentials tried, written, forgotten
//! proxy     which proxy leads to a host
//! retry     how often and how long to wait                    trust        certs.d      dns  names without NSS
//! ```
//! Credentials go to the registry they belong to and to the token service it names, over TLS unless the registry is
//! configured as insecure; never to where a redirect leads.

mod auth;
mod catalog;
mod client;
mod credentials;
mod dns;
mod download;
mod helper;
mod http;
mod login;
mod proxy;
mod retry;
mod sources;
#[cfg(test)]
mod tests;
mod transfer;
mod trust;
mod upload;

pub(crate) use catalog::Hit;
pub(crate) use client::{Fetched, Registry};
pub(crate) use credentials::Credentials;
pub(crate) use download::download;
pub(crate) use login::{AuthFile, Server};
pub(crate) use retry::RetryPolicy;
pub(crate) use sources::{candidates, push_target, sources};
pub(crate) use transfer::TransferError;

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};

/// Seconds without a byte after which a transfer is broken off and resumed.
pub(crate) const ENV_STALL: &str = "RPOD_REGISTRY_TIMEOUT";
const DEFAULT_STALL: Duration = Duration::from_secs(30);

/// How to talk to registries in one command.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// `--tls-verify`; unset, registries.conf decides.
    pub tls_verify: Option<bool>,
    /// `--creds`: instead of what the auth files say.
    pub credentials: Option<Credentials>,
    /// `--authfile`
    pub auth_file: Option<PathBuf>,
    /// `--cert-dir`
    pub cert_dir: Option<PathBuf>,
    pub retry: RetryPolicy,
    pub stall: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls_verify: None,
            credentials: None,
            auth_file: None,
            cert_dir: None,
            retry: RetryPolicy::default(),
            stall: stall_from_env().unwrap_or(DEFAULT_STALL),
        }
    }
}

fn stall_from_env() -> Option<Duration> {
    let seconds = std::env::var(ENV_STALL).ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds)).filter(|stall| !stall.is_zero())
}

/// Fails when the environment says something that [`Options::default`] could not use.
fn check_env() -> Result<()> {
    match std::env::var_os(ENV_STALL).filter(|value| !value.is_empty()) {
        Some(value) if stall_from_env().is_none() => {
            Err(Error::new(format!("{ENV_STALL} is not a number of seconds: {}", value.display())))
        }
        _ => Ok(()),
    }
}

/// Makes ring the provider of rustls' cryptography; there is no default one in this build.
fn install_crypto() {
    // Fails only when it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
