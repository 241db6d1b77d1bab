//! `system reset`: everything goes, but volumes that somebody gave a name to, unless they are meant as well.

use crate::engine::container::lifecycle::{self, Removal};
use crate::engine::container::{elsewhere, store as containers};
use crate::engine::volumes;
use crate::error::{Context, Error, Kind, Result};
use crate::state::paths::Dirs;
use crate::storage::remove_path;
use crate::userns::{IdMaps, enter};

/// What is kept of the data directory.
const VOLUMES: &str = "volumes";

/// Stops and removes all containers, then removes what rpod has on the disk. For a single-threaded process.
///
/// Several rpod processes at once must not be at work: what they make meanwhile may stay or go.
pub(crate) fn reset(dirs: &Dirs, with_volumes: bool) -> Result<()> {
    if let Some(used) = elsewhere::uses(dirs)?.first() {
        return Err(used.refuse(&format!("the store {}", dirs.data.display())));
    }
    for container in containers::list(dirs)? {
        let removal = Removal { force: true, seconds: Some(0), volumes: true };
        match lifecycle::remove(dirs, &container, removal) {
            Err(e) if e.kind() != Kind::NoSuchObject => return Err(e),
            _ => {}
        }
    }
    let maps = IdMaps::for_user()?;
    for volume in volumes::list(dirs)? {
        if with_volumes || volume.anonymous {
            volumes::remove(dirs, &volume, true, Some(0))?;
        }
    }
    let kept = !with_volumes && !volumes::list(dirs)?.is_empty();
    let mut doomed = Vec::new();
    for (dir, keep) in [(&dirs.data, kept.then_some(VOLUMES)), (&dirs.host, None), (&dirs.runtime, None)] {
        let failed = || format!("cannot list {}", dir.display());
        let entries = match std::fs::read_dir(dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.context(failed)?,
        };
        for entry in entries {
            let entry = entry.context(failed)?;
            if keep.is_none_or(|name| entry.file_name() != name) {
                doomed.push(entry.path());
            }
        }
    }
    // Names before what they lead to: what an interrupted reset leaves is garbage, not an image without its layers.
    doomed.sort_by_key(|path| path.file_name() != Some("refs".as_ref()));
    enter::run(&maps, || {
        let failures: Vec<String> =
            doomed.iter().filter_map(|path| remove_path(path).err()).map(|error| error.to_string()).collect();
        match failures.is_empty() {
            true => Ok(()),
            false => Err(Error::new(format!("not everything could be removed: {}", failures.join("; ")))),
        }
    })
}
