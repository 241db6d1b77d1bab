//! `known/<diffid>.json`: the compressed forms of a layer that registries have. Hints only: a push asks the registry for
//! them before it sends anything, so a file that is lost, damaged or wrong costs time and nothing else.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Store;
use super::layer::Source;
use crate::error::Result;
use crate::image::digest::DiffId;
use crate::state::file::{self, Durability};
use crate::state::paths::create_private;

/// More forms of one layer than this are old ones.
const MOST_FORMS: usize = 8;
/// And more repositories with it than this help nobody.
const MOST_PLACES: usize = 16;

/// A form that some repositories have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownForm {
    pub source: Source,
    /// How rpod made it (`gzip:6`), when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_as: Option<String>,
    /// `registry.example:5000/team/app`, the latest last.
    pub places: Vec<String>,
}

impl Store {
    /// The forms of the layer that are known, the latest last.
    pub(crate) fn known_forms(&self, diff_id: &DiffId) -> Vec<KnownForm> {
        file::read_json(&self.known_path(diff_id)).ok().flatten().unwrap_or_default()
    }

    /// Remembers that the repository `place` has the layer in this form.
    pub(crate) fn remember_form(
        &self,
        diff_id: &DiffId,
        source: &Source,
        made_as: Option<String>,
        place: &str,
    ) -> Result<()> {
        let before = self.known_forms(diff_id);
        let mut forms = before.clone();
        let mut form = match forms.iter().position(|form| form.source.digest == source.digest) {
            Some(at) => forms.remove(at),
            None => KnownForm { source: source.clone(), made_as: None, places: Vec::new() },
        };
        form.made_as = made_as.or(form.made_as);
        if form.places.last().is_none_or(|last| last != place) {
            form.places.retain(|known| known != place);
            form.places.push(place.to_owned());
        }
        form.places.drain(..form.places.len().saturating_sub(MOST_PLACES));
        forms.push(form);
        forms.drain(..forms.len().saturating_sub(MOST_FORMS));
        if forms == before {
            return Ok(());
        }
        create_private(&self.known_dir())?;
        file::write_json(&self.known_path(diff_id), &forms, Durability::Volatile)
    }

    /// Forgets layers that are not there any more.
    pub(super) fn forget_known(&self, kept: &HashSet<DiffId>) {
        for entry in std::fs::read_dir(self.known_dir()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let hex = name.to_str().and_then(|name| name.strip_suffix(".json")).unwrap_or_default();
            let diff_id = format!("sha256:{hex}").parse::<DiffId>().ok();
            if diff_id.is_none_or(|diff_id| !kept.contains(&diff_id)) {
                // What cannot be removed is a hint too many.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn known_path(&self, diff_id: &DiffId) -> PathBuf {
        self.known_dir().join(format!("{}.json", diff_id.hex()))
    }

    fn known_dir(&self) -> PathBuf {
        self.data.join("known")
    }
}
