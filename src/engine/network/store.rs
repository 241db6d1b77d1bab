//! Finding networks.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::error::{Context, Error, Kind, Result};
use crate::network::bridge::object::{DEFAULT, DEFAULT_ALIAS, Network};
use crate::state::file::{self, Durability};
use crate::state::names;
use crate::state::paths::{Dirs, create_private};

const SUFFIX: &str = ".json";

fn directory(dirs: &Dirs) -> PathBuf {
    dirs.data.join("networks")
}

/// The file of a network whose name has been checked.
pub(super) fn path(dirs: &Dirs, name: &str) -> PathBuf {
    directory(dirs).join(format!("{name}{SUFFIX}"))
}

/// Writes a network through to the disk.
pub(super) fn save(dirs: &Dirs, network: &Network) -> Result<()> {
    create_private(&directory(dirs))?;
    file::write_json(&path(dirs, &network.name), network, Durability::Synced)
}

/// All networks by name, the default one among them. What cannot be read is left out: one damaged file stops no other network.
pub(crate) fn list(dirs: &Dirs) -> Result<Vec<Network>> {
    list_all(dirs).map(|(networks, _)| networks)
}

/// [`list`], and what is wrong with those that cannot be read.
pub(crate) fn list_all(dirs: &Dirs) -> Result<(Vec<Network>, Vec<Error>)> {
    let (networks, damaged) = survey(dirs)?;
    let explain = |Damaged { name, why }| Error::new(why).hint(format!("rpod network rm {name} removes it"));
    Ok((networks, damaged.into_iter().map(explain).collect()))
}

/// A network whose file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub name: String,
    pub why: String,
}

/// The networks, and those that cannot be read.
pub(crate) fn survey(dirs: &Dirs) -> Result<(Vec<Network>, Vec<Damaged>)> {
    let mut damaged = Vec::new();
    let dir = directory(dirs);
    let what = || format!("cannot list {}", dir.display());
    let mut networks = Vec::new();
    match std::fs::read_dir(&dir) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.context(what)?.file_name();
                let name = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).unwrap_or_default();
                // Removed meanwhile, or somebody else's file.
                match load(dirs, name) {
                    Ok(found) => networks.extend(found),
                    Err(error) => damaged.push(Damaged { name: name.to_owned(), why: error.to_string() }),
                }
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::wrap(what(), e)),
    }
    if !networks.iter().any(|network| network.name == DEFAULT) {
        networks.push(Network::standard(Timestamp::now()));
    }
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((networks, damaged))
}

fn load(dirs: &Dirs, name: &str) -> Result<Option<Network>> {
    match names::check(name) {
        Ok(()) => file::read_json(&path(dirs, name)),
        Err(_) => Ok(None),
    }
}

/// Removes what cannot be read of a network of exactly that name; `false` when it can be, or is not there.
pub(crate) fn remove_damaged(dirs: &Dirs, name: &str) -> Result<bool> {
    if load(dirs, name).is_ok() {
        return Ok(false);
    }
    let path = path(dirs, name);
    let removed = if path.is_dir() { std::fs::remove_dir(&path) } else { std::fs::remove_file(&path) };
    removed.context(|| format!("cannot remove {}", path.display())).map(|()| true)
}

/// The network called `name_or_id`: a name, Docker's name for the default one, an id, or the beginning of exactly one id.
pub(crate) fn find(dirs: &Dirs, name_or_id: &str) -> Result<Network> {
    if let Some(network) = by_name(dirs, name_or_id)? {
        return Ok(network);
    }
    let missing = || {
        Error::new(format!("unable to find network with name or ID {name_or_id}: network not found"))
            .with_kind(Kind::NoSuchObject)
    };
    if name_or_id.is_empty() || !name_or_id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(missing());
    }
    let mut found = list(dirs)?.into_iter().filter(|network| network.id.starts_with(name_or_id));
    match (found.next(), found.next()) {
        (Some(network), None) => Ok(network),
        (Some(_), Some(_)) => Err(Error::new(format!("more than one result for network ID {name_or_id}"))),
        _ => Err(missing()),
    }
}

/// The start path: one file, or none for the default network.
fn by_name(dirs: &Dirs, name: &str) -> Result<Option<Network>> {
    let name = if name == DEFAULT_ALIAS { DEFAULT } else { name };
    match load(dirs, name)? {
        None if name == DEFAULT => Ok(Some(Network::standard(Timestamp::now()))),
        found => Ok(found),
    }
}
