//! Logging in and out: credentials are tried at the registry, then written where Podman and Docker find them, or given to
//! the credential helper that the file names.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use serde_json::{Map, Value, json};

use super::client::Registry;
use super::credentials::{self, AUTH_FILES, Credentials, canonical};
use super::sources::{self, Source};
use super::{Options, helper};
use crate::config::registries::Registries;
use crate::error::{Context, Error, Result};
use crate::image::reference::{DOCKER_HUB, Reference};

/// Where Docker keeps Docker Hub's.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A file to write to.
#[derive(Debug, Clone)]
pub(crate) struct AuthFile {
    pub path: PathBuf,
    /// `--compat-auth-file`: keys as Docker writes them.
    pub is_dockers: bool,
}

/// A registry, or a part of one, to log in to: `reg.example:5000`, `reg.example/team`.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    reference: Reference,
    key: String,
}

impl Server {
    /// Reads what was typed; also `https://reg.example/v1/`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let is_url = text.starts_with("https://") || text.starts_with("http://");
        let mut key = text.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        if is_url {
            key = key.split('/').next().unwrap_or(key);
        }
        let key = canonical(key);
        let bad = || Error::new(format!("{text:?} is not the name of a registry"));
        // Anything below it.
        let reference = Reference::parse(&format!("{key}/x")).map_err(|_| bad())?;
        let own_host = key.split('/').next() == Some(reference.host());
        if !own_host || reference.tag() != Some("latest") {
            return Err(bad());
        }
        Ok(Self { reference, key: key.to_owned() })
    }

    /// The registry to log in to when none is named: the first that short names are looked for in.
    pub(crate) fn default() -> Result<Self> {
        match Registries::load()?.search.first() {
            Some(first) => Self::parse(first),
            None => Self::parse(DOCKER_HUB),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.key
    }

    /// The credentials that the files and helpers have for it.
    pub(crate) fn known(&self, auth_file: Option<&Path>) -> Result<Option<Credentials>> {
        match auth_file {
            Some(path) if !path.exists() => Ok(None),
            _ => credentials::find(&self.reference, auth_file),
        }
    }

    /// Asks the registry whether the credentials are right.
    pub(crate) fn check(&self, given: &Credentials, options: &Options) -> Result<()> {
        let config = Registries::load()?;
        let insecure = sources::push_target(&config, &self.reference)?.insecure;
        let source = Source { reference: self.reference.clone(), insecure, is_mirror: false };
        let options = Options { credentials: Some(given.clone()), ..options.clone() };
        let registry = Registry::without_scope(&source, &options)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context(|| "cannot start the network client")?;
        runtime.block_on(registry.greet()).context(|| format!("logging into {:?}", self.key))
    }
}

impl AuthFile {
    /// The file that `login` writes when none is named.
    pub(crate) fn default() -> Result<Self> {
        let path = credentials::files(None).into_iter().next();
        let path =
            path.ok_or_else(|| Error::new("there is no place for credentials: neither HOME nor XDG_RUNTIME_DIR"))?;
        Ok(Self { path, is_dockers: false })
    }

    /// Keeps the credentials, replacing those that were there; says where they are now.
    pub(crate) fn store(&self, server: &Server, credentials: &Credentials) -> Result<String> {
        // They are looked for there first. Helpers know whole registries only.
        let first = Registries::load()?.credential_helpers.into_iter().next().filter(|name| name != AUTH_FILES);
        if let Some(name) = first.filter(|_| !server.key.contains('/')) {
            helper::store(&name, &server.key, credentials)?;
            return Ok(format!("docker-credential-{name}"));
        }
        let mut file = self.read()?;
        if let Some(name) = helper_of(&file, &server.key) {
            helper::store(&name, &self.key(server), credentials)?;
            return Ok(format!("docker-credential-{name}"));
        }
        let entry = match credentials {
            Credentials::Basic { user, password } => {
                let pair = format!("{user}:{password}");
                json!({ "auth": base64::engine::general_purpose::STANDARD.encode(pair) })
            }
            Credentials::Identity(token) => json!({ "identitytoken": token }),
        };
        let auths = file.entry("auths").or_insert_with(|| json!({}));
        let Some(auths) = auths.as_object_mut() else {
            return Err(Error::new(format!("{} is not an auth file", self.path.display())));
        };
        auths.retain(|key, _| canonical(key) != server.key);
        auths.insert(self.key(server), entry);
        self.write(&file)?;
        Ok(self.path.display().to_string())
    }

    /// Forgets the credentials; whether there were any.
    pub(crate) fn remove(&self, server: &Server) -> Result<bool> {
        let mut file = self.read()?;
        let mut found = false;
        let helpers = Registries::load()?.credential_helpers;
        for name in helpers.iter().filter(|name| *name != AUTH_FILES && !server.key.contains('/')) {
            if helper::get(name, &server.key)?.is_some() {
                helper::erase(name, &server.key)?;
                found = true;
            }
        }
        if let Some(name) = helper_of(&file, &server.key) {
            let key = self.key(server);
            if helper::get(&name, &key)?.is_some() {
                helper::erase(&name, &key)?;
                found = true;
            }
        }
        let Some(auths) = file.get_mut("auths").and_then(Value::as_object_mut) else { return Ok(found) };
        let before = auths.len();
        auths.retain(|key, _| canonical(key) != server.key);
        if auths.len() != before {
            self.write(&file)?;
            found = true;
        }
        Ok(found)
    }

    /// Forgets all.
    pub(crate) fn remove_all(&self) -> Result<()> {
        let mut file = self.read()?;
        for name in Registries::load()?.credential_helpers.iter().filter(|name| *name != AUTH_FILES) {
            for server in helper::list(name)?.keys() {
                helper::erase(name, server)?;
            }
        }
        if let Some(name) = file.get("credsStore").and_then(Value::as_str) {
            for server in helper::list(name)?.keys() {
                helper::erase(name, server)?;
            }
        }
        for (key, name) in file.get("credHelpers").and_then(Value::as_object).into_iter().flatten() {
            let Some(name) = name.as_str() else { continue };
            if helper::get(name, key)?.is_some() {
                helper::erase(name, key)?;
            }
        }
        if file.get("auths").and_then(Value::as_object).is_some_and(|auths| !auths.is_empty()) {
            file.insert("auths".to_owned(), json!({}));
            self.write(&file)?;
        }
        Ok(())
    }

    fn key(&self, server: &Server) -> String {
        match server.key.as_str() {
            DOCKER_HUB if self.is_dockers => DOCKER_HUB_KEY.to_owned(),
            key => key.to_owned(),
        }
    }

    fn read(&self) -> Result<Map<String, Value>> {
        let failed = || format!("cannot use {}", self.path.display());
        match std::fs::read(&self.path) {
            Ok(content) if content.is_empty() => Ok(Map::new()),
            // Not what serde says: it could quote a secret.
            Ok(content) => serde_json::from_slice(&content)
                .map_err(|_| Error::new(format!("{} is not an auth file", self.path.display()))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Map::new()),
            Err(e) => Err(Error::wrap(failed(), e)),
        }
    }

    /// Readable by nobody else from its first byte; through a link that points elsewhere.
    fn write(&self, content: &Map<String, Value>) -> Result<()> {
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let failed = || format!("cannot write {}", path.display());
        let text = serde_json::to_string_pretty(content).context(failed)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).context(failed)?;
        let part = dir.join(format!(".auth-{}.part", std::process::id()));
        let written = (|| {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&part, &path)
        })();
        if written.is_err() {
            // The first error is the one worth telling.
            let _ = std::fs::remove_file(&part);
        }
        written.context(failed)
    }
}

/// The helper that the file names for a server.
fn helper_of(file: &Map<String, Value>, key: &str) -> Option<String> {
    let own = file.get("credHelpers").and_then(|helpers| helpers.get(key));
    let name = own.or_else(|| file.get("credsStore"))?.as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        for (text, key) in [
            ("reg.example:5000", "reg.example:5000"),
            ("https://reg.example/v2/", "reg.example"),
            ("reg.example/team", "reg.example/team"),
            ("docker.io", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(Server::parse(text).expect(text).name(), key, "{text}");
        }
        for bad in ["", "alpine", "reg.example/a:b", "reg.example/a@x", "a b", "reg.example/../x", "x\n.example"] {
            assert!(Server::parse(bad).is_err(), "{bad}");
        }
    }
}
