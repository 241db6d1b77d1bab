//! Containers that others need: `--requires`, which must run before another one starts, and those whose namespaces are shared.
//! Neither is removed before the other.
//!
//! The record of a container names what it requires; the file `dependents` beside the record of what is needed names, one id
//! a line, who was made to need it, so that removing a container asks one file and not every other container.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use oci_spec::runtime::Spec;

use super::record::Record;
use super::store::{self, Container};
use super::{joining, start};
use crate::error::{Context, Error, Result};
use crate::state::paths::Dirs;

const DEPENDENTS: &str = "dependents";

/// The ids behind the names.
pub(super) fn resolve(dirs: &Dirs, names: &[String]) -> Result<Vec<String>> {
    names.iter().map(|name| Ok(store::find(dirs, name)?.record.id)).collect()
}

/// Notes with what `record` requires, and with those whose namespaces `spec` shares, that it needs them.
pub(super) fn note(dirs: &Dirs, record: &Record, spec: &Spec) -> Result<()> {
    for id in record.requires.iter().chain(&joining::shared(spec)) {
        let file = store::find(dirs, id)?.place.record.join(DEPENDENTS);
        let opened = OpenOptions::new().append(true).create(true).open(&file);
        let written = opened.and_then(|mut opened| opened.write_all(format!("{}\n", record.id).as_bytes()));
        written.context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The containers that need this one.
pub(crate) fn dependents(dirs: &Dirs, container: &Container) -> Result<Vec<Container>> {
    let file = container.place.record.join(DEPENDENTS);
    let ids = match std::fs::read_to_string(&file) {
        Ok(ids) => ids,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::wrap(format!("cannot read {}", file.display()), e)),
    };
    let loaded = ids.lines().map(|id| Container::load(dirs, id)).collect::<Result<Vec<_>>>()?;
    Ok(loaded.into_iter().flatten().collect())
}

/// Starts those of the containers that do not run, each after what it requires itself. To be called before the lock of the
/// container that needs them is taken: their monitors would keep it.
pub(crate) fn start_all(dirs: &Dirs, names: &[String], warn: &mut dyn FnMut(&str)) -> Result<()> {
    visit(dirs, names, &mut BTreeSet::new(), warn)
}

fn visit(dirs: &Dirs, names: &[String], seen: &mut BTreeSet<String>, warn: &mut dyn FnMut(&str)) -> Result<()> {
    for name in names {
        let container = store::find(dirs, name).map_err(|e| Error::wrap("cannot start a required container", e))?;
        if !seen.insert(container.record.id.clone()) {
            continue;
        }
        visit(dirs, &container.record.requires, seen, warn)?;
        if let Some(client) = start::up(dirs, &container, start::Audience::default())? {
            let what = || format!("cannot start the required container {}", container.record.name);
            client.wait_started(warn).context(what)?;
            client.detach();
        }
    }
    Ok(())
}
