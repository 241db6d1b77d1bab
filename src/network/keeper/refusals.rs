//! What egress policies refused, from one netkeeper to the next: it is asked for when the containers have ended.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::network::egress::guard::{Refused, Remembered};
use crate::state::file::{self, Durability};

fn path(directory: &Path) -> PathBuf {
    directory.join("refused.json")
}

/// Keeps it in the netkeeper's directory.
pub(super) fn store(directory: &Path, refusals: &[Remembered]) -> Result<()> {
    if refusals.is_empty() { Ok(()) } else { file::write_json(&path(directory), &refusals, Durability::Volatile) }
}

/// What was kept; a file that cannot be read says nothing.
pub(super) fn load(directory: &Path) -> Vec<Remembered> {
    file::read_json(&path(directory)).ok().flatten().unwrap_or_default()
}

/// Of one network, the latest first.
pub(super) fn of(directory: &Path, network: &str) -> Vec<Refused> {
    let on = |kept: &Remembered| kept.networks.iter().any(|name| name == network);
    let mut refused: Vec<Refused> = load(directory).into_iter().filter(on).map(|kept| kept.refused).collect();
    refused.sort_by_key(|refused| std::cmp::Reverse(refused.last));
    refused
}
