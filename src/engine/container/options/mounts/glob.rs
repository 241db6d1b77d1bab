//! `--mount type=glob`: paths of the host by pattern, as Go's `filepath.Glob`; names that begin with a dot are no exception.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::glob::Glob;

/// The paths that `pattern`, an absolute path, matches, sorted. What cannot be read matches nothing.
pub(super) fn paths(pattern: &str) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let glob = Glob::path(part).map_err(Error::new)?;
        let mut next = Vec::new();
        for dir in found {
            match glob.literal() {
                Some(name) => next.push(dir.join(name)),
                None => next.extend(names(&dir).into_iter().filter(|n| glob.matches(n)).map(|n| dir.join(n))),
            }
        }
        next.retain(|path| path.symlink_metadata().is_ok());
        next.sort();
        found = next;
    }
    Ok(found)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
