//! `builder prune`: forgets what builds keep for the next one.

use std::collections::HashMap;

use super::workroom::Workroom;
use crate::engine::images;
use crate::engine::system::df;
use crate::error::{Context, Result};
use crate::image::digest::DiffId;
use crate::state::paths::Dirs;
use crate::storage::Store;
use crate::userns::{IdMaps, enter};

/// What was removed of the build cache.
#[derive(Debug)]
pub(crate) struct Pruned {
    pub steps: u64,
    /// Of layers that no image has, and of cache directories.
    pub bytes: u64,
}

/// What of it stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    /// Steps that were done after it.
    pub before: Option<jiff::Timestamp>,
    /// As many bytes as this, the newest.
    pub most: Option<u64>,
    /// As many bytes as leave this free on the disk.
    pub free: Option<u64>,
}

impl Limits {
    fn is_all(&self) -> bool {
        self.before.is_none() && self.most.is_none() && self.free.is_none()
    }
}

/// Forgets the steps that `limits` do not keep; with `mounts` also the directories of RUN --mount=type=cache.
/// For a single-threaded process.
pub(crate) fn prune(dirs: &Dirs, store: &Store, maps: &IdMaps, mounts: bool, limits: &Limits) -> Result<Pruned> {
    // What killed builds left goes as well.
    drop(Workroom::open(dirs, maps)?);
    let dir = store.build_cache_dir().join("mounts");
    let mut bytes = 0;
    if mounts {
        bytes += crate::storage::usage::of(std::slice::from_ref(&dir), maps)?;
        enter::run(maps, || crate::storage::remove_path(&dir))?;
    }
    let steps = if limits.is_all() { store.forget_build_steps()? } else { oldest(dirs, store, limits)? };
    let freed = images::collect(dirs, store)?;
    Ok(Pruned { steps, bytes: bytes + freed.map_or(0, |freed| freed.bytes) })
}

/// Forgets the oldest steps until the limits are kept.
fn oldest(dirs: &Dirs, store: &Store, limits: &Limits) -> Result<u64> {
    let steps = store.build_steps_by_age()?;
    let mut users: HashMap<DiffId, usize> = HashMap::new();
    for layer in steps.iter().filter_map(|(.., step)| step.layer) {
        *users.entry(layer).or_default() += 1;
    }
    let is_bounded = limits.most.is_some() || limits.free.is_some();
    let cache = if is_bounded { df::usage(dirs, store)?.cache } else { df::CacheUsage::default() };
    let mut left = cache.size;
    let mut most = limits.most;
    if let Some(wanted) = limits.free {
        let disk = rustix::fs::statvfs(store.build_cache_dir()).or_else(|_| rustix::fs::statvfs(&dirs.data));
        let disk = disk.context(|| "cannot tell how much of the disk is free")?;
        let missing = wanted.saturating_sub(disk.f_bavail.saturating_mul(disk.f_frsize));
        let target = left.saturating_sub(missing);
        most = Some(most.map_or(target, |most| most.min(target)));
    }
    let mut count = 0;
    for (made, key, step) in steps {
        if limits.before.is_some_and(|before| made >= before) || is_bounded && most.is_some_and(|most| left <= most) {
            break;
        }
        store.forget_build_step(&key)?;
        count += 1;
        if let Some(layer) = step.layer
            && let Some(users) = users.get_mut(&layer)
        {
            *users -= 1;
            if *users == 0 {
                left = left.saturating_sub(cache.layers.get(&layer).copied().unwrap_or(0));
            }
        }
    }
    Ok(count)
}
