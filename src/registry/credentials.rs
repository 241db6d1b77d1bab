//! Who we are to a registry: the auth files of Podman and Docker, and their credential helpers.
//!
//! `--authfile`, `$REGISTRY_AUTH_FILE`, `$XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json`,
//! `~/.docker/config.json` (`$DOCKER_CONFIG`); the first that knows the registry. Within a file the longest key wins that is the
//! repository or one of its parents: `reg.example/team/app`, `reg.example/team`, `reg.example`. `credential-helpers` of
//! registries.conf names what is asked instead of or beside the files, in its order.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde::Deserialize;

use super::helper;
use crate::config::registries::{Registries, user_dir};
use crate::error::{Context, Error, Result};
use crate::image::reference::{DOCKER_HUB, Reference};
use crate::state::paths;

/// A secret; its Debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    Basic {
        user: String,
        password: String,
    },
    /// An OAuth2 refresh token.
    Identity(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Basic { user, .. } => write!(f, "Basic({user}, …)"),
            Self::Identity(_) => f.write_str("Identity(…)"),
        }
    }
}

impl Credentials {
    /// `--creds USER[:PASSWORD]`
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some((user, password)) if !user.is_empty() => {
                Ok(Self::Basic { user: user.to_owned(), password: password.to_owned() })
            }
            _ => Err(Error::new("credentials are written as USER:PASSWORD")),
        }
    }
}

/// An auth file as Docker and Podman write it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CredentialsFile {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// What stands for the auth files among `credential-helpers` of registries.conf.
pub(super) const AUTH_FILES: &str = "containers-auth.json";

/// The credentials for `reference`, or `None` to go anonymously.
pub(super) fn find(reference: &Reference, auth_file: Option<&Path>) -> Result<Option<Credentials>> {
    let helpers = Registries::load()?.credential_helpers;
    if helpers.is_empty() {
        return in_files(reference, auth_file);
    }
    let mut failure = None;
    for name in &helpers {
        let found = match name.as_str() {
            AUTH_FILES => in_files(reference, auth_file),
            name => helper::get(name, reference.host()).context(|| "cannot use credential-helpers of registries.conf"),
        };
        match found {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    // One that fails is no loss where another has them.
    failure.map_or(Ok(None), Err)
}

fn in_files(reference: &Reference, auth_file: Option<&Path>) -> Result<Option<Credentials>> {
    for path in files(auth_file) {
        let Some(file) = CredentialsFile::read(&path)? else {
            if auth_file == Some(path.as_path()) {
                return Err(Error::new(format!("the auth file {} does not exist", path.display())));
            }
            continue;
        };
        let found = file.lookup(reference).context(|| format!("cannot use the credentials in {}", path.display()))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

pub(super) fn files(auth_file: Option<&Path>) -> Vec<PathBuf> {
    let env = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(path) = auth_file.map(Path::to_path_buf).or_else(|| env("REGISTRY_AUTH_FILE")) {
        return vec![path];
    }
    // After `su` it is often somebody else's.
    let own = |dir: &PathBuf| std::fs::metadata(dir).is_ok_and(|m| m.uid() == rustix::process::getuid().as_raw());
    let runtime = env("XDG_RUNTIME_DIR").filter(own).map(|dir| dir.join("containers/auth.json"));
    let config = user_dir().map(|dir| dir.join("auth.json"));
    let docker = env("DOCKER_CONFIG").or_else(|| paths::home().ok().map(|home| home.join(".docker")));
    [runtime, config, docker.map(|dir| dir.join("config.json"))].into_iter().flatten().collect()
}

impl CredentialsFile {
    /// `None` when the file does not exist.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(content) => {
                // Not what serde says: it could quote a secret.
                serde_json::from_slice(&content)
                    .map(Some)
                    .map_err(|_| Error::new(format!("{} is not an auth file", path.display())))
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(Error::wrap(format!("cannot read {}", path.display()), e)),
        }
    }

    fn lookup(&self, reference: &Reference) -> Result<Option<Credentials>> {
        let repository = reference.repository();
        for key in parents(&repository) {
            if let Some(helper) = self.cred_helpers.get(key) {
                return helper::get(helper, key);
            }
            if let Some((_, entry)) = self.auths.iter().find(|(name, _)| canonical(name) == key) {
                match entry.credentials()? {
                    // Docker leaves an empty entry when the secret is in the store.
                    None if !self.creds_store.is_empty() => {}
                    found => return Ok(found),
                }
            }
        }
        if self.creds_store.is_empty() {
            return Ok(None);
        }
        let server = if reference.host() == DOCKER_HUB { "https://index.docker.io/v1/" } else { reference.host() };
        helper::get(&self.creds_store, server)
    }
}

impl Entry {
    fn credentials(&self) -> Result<Option<Credentials>> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credentials::Identity(self.identitytoken.clone())));
        }
        if !self.auth.is_empty() {
            let decoded = base64::engine::general_purpose::STANDARD
                .decode(self.auth.trim())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| Error::new("an \"auth\" entry is not base64"))?;
            let (user, password) =
                decoded.split_once(':').ok_or_else(|| Error::new("an \"auth\" entry is not USER:PASSWORD"))?;
            return Ok(Some(Credentials::Basic {
                user: user.to_owned(),
                password: password.trim_end_matches('\0').to_owned(),
            }));
        }
        if !self.username.is_empty() {
            return Ok(Some(Credentials::Basic { user: self.username.clone(), password: self.password.clone() }));
        }
        Ok(None)
    }
}

/// `a/b/c`, `a/b`, `a`.
fn parents(repository: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(repository), |key| key.rsplit_once('/').map(|(parent, _)| parent))
}

/// Keys are written as host names, as repositories and, by Docker, as URLs.
pub(super) fn canonical(key: &str) -> &str {
    let is_url = key.starts_with("https://") || key.starts_with("http://");
    let key = key.trim_start_matches("https://").trim_start_matches("http://");
    let key = if is_url { key.split('/').next().unwrap_or(key) } else { key.trim_end_matches('/') };
    match key {
        "index.docker.io" | "registry-1.docker.io" | "index.docker.io/v1" => DOCKER_HUB,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_entry_wins() {
        // "dTpw" is u:p
        let text = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"aDpo"},"reg.example:5000":{"auth":"dTpw"},
            "reg.example:5000/team":{"username":"t","password":"x:y"},"http://old.example/v2/":{"identitytoken":"tok"},"empty.example":{}}}"#;
        let file: CredentialsFile = serde_json::from_str(text).expect("file");
        let basic = |user: &str, password: &str| {
            Some(Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
        };
        for (name, expected) in [
            ("alpine", basic("h", "h")),
            ("reg.example:5000/app", basic("u", "p")),
            ("reg.example:5000/team/app", basic("t", "x:y")),
            ("reg.example:5000/teams/app", basic("u", "p")),
            ("reg.example/app", None),
            ("empty.example/app", None),
            ("old.example/a", Some(Credentials::Identity("tok".to_owned()))),
        ] {
            assert_eq!(file.lookup(&Reference::parse(name).expect("name")).expect("lookup"), expected, "{name}");
        }
    }

    #[test]
    fn damaged_entries_are_told() {
        let file: CredentialsFile = serde_json::from_str(r#"{"auths":{"a.example":{"auth":"%%"}}}"#).expect("file");
        assert!(file.lookup(&Reference::parse("a.example/x").expect("name")).is_err());
        assert!(Credentials::parse("u").is_err() && Credentials::parse(":p").is_err());
        assert_eq!(format!("{:?}", Credentials::parse("u:secret").expect("creds")), "Basic(u, …)");
    }
}
