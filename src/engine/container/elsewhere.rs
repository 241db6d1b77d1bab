//! Containers of other hosts that have the same store, as where homes are on a network: what they use stays, though this
//! host can neither see them nor end them.
//!
//! ```text
//! state/hosts/<machine-id>/containers/<id>/   their records, where the state directory is shared as well
//! data/uses/<machine-id>/<id>.json            what each container of a host uses, while several hosts have the store or
//!                                             its file system is a network's; every host has a directory here
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::{Config, RECORD, Record};
use super::resolve::MountKind;
use super::store::is_id;
use crate::error::{Context, Error, Kind, Result};
use crate::image::digest::DiffId;
use crate::state::file::{self, Durability};
use crate::state::paths::{Dirs, create_private};
use crate::state::shared;

const USES: &str = "uses";

/// What one container uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Use {
    pub id: String,
    pub name: String,
    /// Digits of the image's id.
    pub image_id: String,
    pub layers: BTreeSet<DiffId>,
    pub volumes: BTreeSet<String>,
    /// Whose container it is.
    #[serde(skip)]
    pub host: String,
    /// Where that is said.
    #[serde(skip)]
    pub place: PathBuf,
}

impl Default for Use {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            image_id: String::new(),
            layers: BTreeSet::new(),
            volumes: BTreeSet::new(),
            host: String::new(),
            place: PathBuf::new(),
        }
    }
}

impl Use {
    fn of(record: &Record, config: &Config) -> Self {
        let named = config.mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
        let named = named.filter_map(|mount| mount.name.clone());
        Self {
            id: record.id.clone(),
            name: record.name.clone(),
            image_id: record.image_id.clone(),
            layers: record.layers.iter().chain(&record.mounted_layers).copied().collect(),
            volumes: named.chain(record.volumes.iter().cloned()).collect(),
            ..Self::default()
        }
    }

    /// `what` cannot go, because this container needs it.
    pub(crate) fn refuse(&self, what: &str) -> Error {
        let Self { id, name, host, place, .. } = self;
        Error::new(format!("{what} is in use by container {name} ({id}) on host {host}"))
            .with_kind(Kind::Conflict)
            .hint(format!("remove the container there; if that host is no more, remove {}", place.display()))
    }
}

/// Says what a new container of this host uses, where others need to know.
pub(super) fn mark(dirs: &Dirs, record: &Record, config: &Config) -> Result<()> {
    let own = own(dirs);
    if !own.is_dir() {
        create_private(&own)?;
    }
    if !shared::may_be(&dirs.data) && hosts(&dirs.data.join(USES))?.len() < 2 {
        return Ok(());
    }
    file::write_json(&mark_of(dirs, &record.id), &Use::of(record, config), Durability::Volatile)
}

/// A container of this host is gone.
pub(super) fn unmark(dirs: &Dirs, id: &str) {
    // Few have one. One that stays keeps too much, and never too little.
    let _ = std::fs::remove_file(mark_of(dirs, id));
}

/// What the containers of all other hosts use.
///
/// # Errors
/// When one of them cannot be read.
pub(crate) fn uses(dirs: &Dirs) -> Result<Vec<Use>> {
    let mut uses: Vec<Use> = Vec::new();
    let own = dirs.host.file_name().unwrap_or_default();
    for host in hosts(&dirs.data.join(USES))?.into_iter().filter(|host| host.file_name() != Some(own)) {
        for path in entries(&host)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.strip_suffix(".json").is_some_and(is_id) {
                // One that is gone was removed meanwhile.
                let read: Option<Use> = file::read_json(&path).map_err(|e| unknown(&path, e))?;
                uses.extend(read.map(|read| Use { host: name_of(&host), place: path, ..read }));
            }
        }
    }
    let states = dirs.host.parent().map(hosts).transpose()?.unwrap_or_default();
    for host in states.into_iter().filter(|host| host.file_name() != Some(own)) {
        for dir in entries(&host.join("containers"))? {
            // Half-made ones have none.
            if !dir.join(RECORD).exists() || uses.iter().any(|known| dir.ends_with(&known.id)) {
                continue;
            }
            let read = Record::load(&dir).and_then(|record| Ok((record, Config::load(&dir)?)));
            match read {
                Ok((Some(record), config)) => {
                    uses.push(Use { host: name_of(&host), place: dir, ..Use::of(&record, &config) });
                }
                Ok((None, _)) => {}
                Err(e) if e.kind() == Kind::NoSuchObject => {}
                Err(e) => return Err(unknown(&dir, e)),
            }
        }
    }
    Ok(uses)
}

fn own(dirs: &Dirs) -> PathBuf {
    dirs.data.join(USES).join(dirs.host.file_name().unwrap_or_default())
}

fn mark_of(dirs: &Dirs, id: &str) -> PathBuf {
    own(dirs).join(format!("{id}.json"))
}

fn hosts(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(dir)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("cannot list {}", dir.display());
    match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.context(failed)?.map(|entry| Ok(entry.context(failed)?.path())).collect(),
    }
}

fn name_of(host: &Path) -> String {
    host.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn unknown(path: &Path, error: Error) -> Error {
    Error::wrap("cannot tell what a container of another host uses", error)
        .hint(format!("remove {} if that container is no more", path.display()))
}
