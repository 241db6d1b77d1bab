//! Secrets: what only the containers that name them are to see.
//!
//! ```text
//! data/secrets/<name>/secret.json   id, when, labels
//! data/secrets/<name>/data          the secret itself, for its user only (0600)
//! ```
//! A secret is whole when its directory has its name. Nothing here prints or logs the data.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Kind, Result};
use crate::state::file::{self, Durability};
use crate::state::id;
use crate::state::paths::{Dirs, create_private};

/// As Podman allows.
const MAX_SIZE: usize = 512_000;
const MAX_NAME: usize = 253;
const META: &str = "secret.json";
const DATA: &str = "data";

/// A secret, without itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secret {
    pub id: String,
    pub name: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// How a secret is to be made.
#[derive(Debug)]
pub(crate) struct CreateOptions<'a> {
    pub name: &'a str,
    pub driver: &'a str,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
    pub replace: bool,
    /// One that is there already is no error, and stays.
    pub ignore: bool,
}

/// Keeps `data` as a secret; answers its id.
pub(crate) fn create(dirs: &Dirs, options: CreateOptions<'_>, data: &[u8]) -> Result<String> {
    check_name(options.name)?;
    if options.driver != "file" {
        return Err(Error::new(format!("secret driver {:?} is not there: file is the only one", options.driver)));
    }
    if data.is_empty() || data.len() >= MAX_SIZE {
        return Err(Error::new("secret data must be larger than 0 and less than 512000 bytes"));
    }
    let base = directory(dirs);
    create_private(&base)?;
    let place = base.join(options.name);
    let existing = load(&place)?;
    if let Some(existing) = &existing {
        if options.ignore {
            return Ok(existing.id.clone());
        }
        if !options.replace {
            return Err(Error::new(format!("secret name in use {}: secret name in use", options.name))
                .hint("--replace puts a new one in its place"));
        }
    }
    let now = Timestamp::now();
    let secret = Secret {
        id: id::random()?.get(..25).unwrap_or_default().to_owned(),
        name: options.name.to_owned(),
        created: existing.as_ref().map_or(now, |existing| existing.created),
        updated: now,
        labels: options.labels,
        options: options.options,
    };
    // Whole under a name that no secret can have, then moved.
    let new = base.join(format!(".new-{}", secret.id));
    create_private(&new)?;
    let made = write(&new.join(DATA), data)
        .and_then(|()| file::write_json(&new.join(META), &secret, Durability::Synced))
        .and_then(|()| put(&new, &place, existing.is_some(), options.name));
    if made.is_err() {
        // The first error is the one worth telling.
        let _ = std::fs::remove_dir_all(&new);
    }
    made.map(|()| secret.id)
}

fn put(new: &Path, place: &Path, replace: bool, name: &str) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let failed = || format!("cannot create the secret {name}");
    if replace {
        match renameat_with(CWD, new, CWD, place, RenameFlags::EXCHANGE) {
            Ok(()) => return std::fs::remove_dir_all(new).context(failed),
            // Removed meanwhile, or a file system that cannot exchange.
            Err(rustix::io::Errno::NOENT) => {}
            Err(_) => std::fs::remove_dir_all(place).context(failed)?,
        }
    }
    match std::fs::rename(new, place) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => {
            Err(Error::new(format!("secret name in use {name}: secret name in use")))
        }
        moved => moved.context(failed),
    }
}

fn write(path: &Path, data: &[u8]) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).context(failed)?;
    file.write_all(data).and_then(|()| file.sync_all()).context(failed)
}

/// The secret of that name or id, or of the only id that begins so.
pub(crate) fn find(dirs: &Dirs, name: &str) -> Result<Secret> {
    if check_name(name).is_ok()
        && let Some(secret) = load(&directory(dirs).join(name))?
    {
        return Ok(secret);
    }
    let mut found = list(dirs)?.into_iter().filter(|secret| !name.is_empty() && secret.id.starts_with(name));
    match (found.next(), found.next()) {
        (Some(secret), None) => Ok(secret),
        (Some(_), Some(_)) => Err(Error::new(format!("more than one secret has an ID that begins with {name}"))),
        _ => {
            Err(Error::new(format!("no secret with name or id {name:?}: no such secret")).with_kind(Kind::NoSuchObject))
        }
    }
}

/// All secrets, by name.
pub(crate) fn list(dirs: &Dirs) -> Result<Vec<Secret>> {
    let base = directory(dirs);
    let failed = || format!("cannot list {}", base.display());
    let entries = match std::fs::read_dir(&base) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(failed)?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry.context(failed)?;
        if entry.file_name().to_str().is_some_and(|name| check_name(name).is_ok()) {
            all.extend(load(&entry.path())?);
        }
    }
    all.sort_by(|a: &Secret, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The secret itself.
pub(crate) fn data(dirs: &Dirs, secret: &Secret) -> Result<Vec<u8>> {
    std::fs::read(directory(dirs).join(&secret.name).join(DATA))
        .context(|| format!("cannot read the secret {}", secret.name))
}

/// Forgets a secret. Containers that have it keep their copy.
pub(crate) fn remove(dirs: &Dirs, secret: &Secret) -> Result<()> {
    std::fs::remove_dir_all(directory(dirs).join(&secret.name))
        .context(|| format!("cannot remove the secret {}", secret.name))
}

fn load(place: &Path) -> Result<Option<Secret>> {
    file::read_json(&place.join(META))
}

fn directory(dirs: &Dirs) -> PathBuf {
    dirs.data.join("secrets")
}

fn check_name(name: &str) -> Result<()> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if name.len() <= MAX_NAME && name.chars().all(inner) && edge(name.chars().next()) {
        return Ok(());
    }
    Err(Error::new(format!(
        "secret name {name:?} can not include '=', '/', ',', or the NULL character: invalid secret name"
    ))
    .hint("letters, digits, and -_. between them"))
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names() {
        for good in ["a", "a-b_c.d", "A1"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".new-x", "a/b", "a=b", "a,b", "-a", "a b", "a\0b", &"a".repeat(254)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
