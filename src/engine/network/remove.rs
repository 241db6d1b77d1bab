//! Removing networks: one that is used by containers goes only together with them.

use super::{filter::Filters, store, users};
use crate::engine::container::lifecycle::{self, Removal};
use crate::engine::events;
use crate::error::{Error, Kind, Result};
use crate::network::bridge::object::{DEFAULT, Network};
use crate::state::lock::{Lock, Mode};
use crate::state::paths::Dirs;

/// `--force` and `--time`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Force {
    /// Removes the containers first.
    pub force: bool,
    pub seconds: Option<i64>,
}

/// Removes the network of that name or id.
pub(crate) fn remove(dirs: &Dirs, name: &str, force: Force) -> Result<()> {
    if store::remove_damaged(dirs, name)? {
        return Ok(());
    }
    let network = store::find(dirs, name)?;
    if network.name == DEFAULT {
        return Err(Error::new(format!("default network {DEFAULT} cannot be removed")));
    }
    let containers = users::of(dirs, &network)?;
    if let Some(first) = containers.first() {
        if !force.force {
            return Err(Error::new(format!(
                "{:?} has associated containers with it (such as {}). Use -f to forcibly delete containers: network is \
                 being used",
                name, first.record.name
            ))
            .with_kind(Kind::Conflict));
        }
        let removal = Removal { force: true, seconds: force.seconds, volumes: false };
        // All are asked before the first is waited for.
        let asked: Vec<_> =
            containers.iter().map(|container| lifecycle::ask_to_leave(dirs, container, removal)).collect();
        for (container, asked) in containers.iter().zip(asked) {
            if let Some(stopping) = asked? {
                stopping.finish()?;
            }
            lifecycle::remove(dirs, container, removal)?;
        }
    }
    delete(dirs, &network)
}

fn delete(dirs: &Dirs, network: &Network) -> Result<()> {
    let _lock = Lock::acquire(&dirs.data.join("networks.lock"), Mode::Exclusive)?;
    let path = store::path(dirs, &network.name);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::wrap(format!("cannot remove {}", path.display()), e))
        }
        // Another process has removed it meanwhile, and noted it.
        Err(_) => Ok(()),
        Ok(()) => {
            events::network(dirs, "remove", &network.id, &network.name, &network.driver);
            Ok(())
        }
    }
}

/// Removes the networks that no container is on and that match; their names.
pub(crate) fn prune(dirs: &Dirs, filters: &[String]) -> Result<Vec<String>> {
    let filters = Filters::parse(filters)?;
    let used = users::used(dirs)?;
    let mut removed = Vec::new();
    for network in store::list(dirs)? {
        if network.name == DEFAULT || used.contains(&network.name) || !filters.matches(&network, &used) {
            continue;
        }
        delete(dirs, &network)?;
        removed.push(network.name);
    }
    Ok(removed)
}
