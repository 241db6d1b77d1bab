//! Credential helpers: `docker-credential-NAME get|store|erase|list`, a name or JSON on stdin, JSON on stdout
//! (github.com/docker/docker-credential-helpers). They are other people's programs: they may hang, and print anything.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use super::credentials::Credentials;
use crate::error::{Context, Error, Result};

/// More than any answer.
const MAX_ANSWER: usize = 256 << 10;
/// A person may have to unlock something.
const PATIENCE: Duration = Duration::from_secs(60);
/// What helpers answer, with exit code 1, when they have nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user's name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(rename = "ServerURL", default)]
    server: std::borrow::Cow<'a, str>,
    #[serde(default)]
    username: std::borrow::Cow<'a, str>,
    #[serde(default)]
    secret: std::borrow::Cow<'a, str>,
}

/// The credentials that the helper has for `server`.
pub(super) fn get(helper: &str, server: &str) -> Result<Option<Credentials>> {
    let (ok, answer) = run(helper, "get", server.as_bytes())?;
    if !ok {
        let said = String::from_utf8_lossy(&answer);
        return match said.trim() {
            "" | NOT_FOUND => Ok(None),
            said if said.contains("not found") => Ok(None),
            said => Err(Error::new(format!("docker-credential-{helper} fails: {}", shown(said)))),
        };
    }
    let entry: Entry<'_> = serde_json::from_slice(&answer)
        // Not what serde says: it could quote a secret.
        .map_err(|_| Error::new(format!("docker-credential-{helper} does not answer with credentials")))?;
    Ok(Some(match entry.username.as_ref() {
        TOKEN_USER => Credentials::Identity(entry.secret.into_owned()),
        user => Credentials::Basic { user: user.to_owned(), password: entry.secret.into_owned() },
    }))
}

/// Gives the helper credentials to keep.
pub(super) fn store(helper: &str, server: &str, credentials: &Credentials) -> Result<()> {
    let (user, secret) = match credentials {
        Credentials::Basic { user, password } => (user.as_str(), password.as_str()),
        Credentials::Identity(token) => (TOKEN_USER, token.as_str()),
    };
    let entry = Entry { server: server.into(), username: user.into(), secret: secret.into() };
    let input = serde_json::to_vec(&entry).context(|| "cannot encode the credentials")?;
    done(helper, "store", &input)
}

/// Makes the helper forget `server`.
pub(super) fn erase(helper: &str, server: &str) -> Result<()> {
    done(helper, "erase", server.as_bytes())
}

/// The servers that the helper has credentials for, with their users.
pub(super) fn list(helper: &str) -> Result<BTreeMap<String, String>> {
    let (ok, answer) = run(helper, "list", b"")?;
    let known = ok.then(|| serde_json::from_slice(&answer).ok()).flatten();
    known.ok_or_else(|| Error::new(format!("docker-credential-{helper} does not list what it has")))
}

fn done(helper: &str, action: &str, input: &[u8]) -> Result<()> {
    match run(helper, action, input)? {
        (true, _) => Ok(()),
        (false, said) => {
            let said = shown(String::from_utf8_lossy(&said).trim());
            Err(Error::new(format!("docker-credential-{helper} cannot {action} the credentials: {said}")))
        }
    }
}

/// What a helper says, fit for a message.
fn shown(said: &str) -> String {
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// Whether it succeeded, and its stdout.
fn run(helper: &str, action: &str, input: &[u8]) -> Result<(bool, Vec<u8>)> {
    if helper.is_empty() || helper.contains('/') {
        return Err(Error::new(format!("{helper:?} cannot be the name of a credential helper")));
    }
    let program = format!("docker-credential-{helper}");
    let mut child = Command::new(&program)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context(|| format!("cannot run the credential helper {program}"))?;
    let answer = talk(&mut child, input).context(|| format!("cannot use the credential helper {program}"));
    if answer.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
    answer
}

fn talk(child: &mut Child, input: &[u8]) -> Result<(bool, Vec<u8>)> {
    let end = Instant::now() + super::stall_from_env().unwrap_or(PATIENCE);
    if let Some(mut stdin) = child.stdin.take() {
        // It fits into the pipe. A helper that ends without reading says why by its exit code.
        let _ = stdin.write_all(input);
    }
    let mut answer = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        let mut buffer = [0; 4096];
        loop {
            wait_readable(&stdout, end)?;
            match stdout.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::wrap("cannot read its answer", e)),
            }
            if answer.len() > MAX_ANSWER {
                return Err(Error::new("its answer is too long"));
            }
        }
    }
    loop {
        match child.try_wait().context(|| "cannot wait for it")? {
            Some(status) => return Ok((status.success(), answer)),
            None if Instant::now() >= end => return Err(Error::new("it does not end")),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn wait_readable(pipe: &impl std::os::fd::AsFd, end: Instant) -> Result<()> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(Error::new("it does not answer")),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::wrap("cannot wait for its answer", e)),
        }
    }
}
