//! Which containers a command is about: names and ids, `--all`, `--latest`, `--cidfile`, `--filter`.

use std::path::PathBuf;

use super::filter::Filters;
use super::store::{self, Container};
use crate::error::{Context, Error, Kind, Result};
use crate::state::paths::Dirs;

/// What was typed.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    pub names: &'a [String],
    pub all: bool,
    pub latest: bool,
    pub cidfiles: &'a [PathBuf],
    /// Of the containers named, or of all of them, only those that match.
    pub filters: &'a [String],
    /// Containers that do not exist are left out.
    pub ignore: bool,
    /// One that is named twice is there twice.
    pub repeats: bool,
}

impl Selection<'_> {
    /// The containers, each with what it was called by: that is what `stop` and the like print.
    ///
    /// # Errors
    /// `missing` when nothing was named at all; all names are checked before anything is done to one of them.
    pub(crate) fn resolve(&self, dirs: &Dirs, missing: &str) -> Result<Vec<(String, Container)>> {
        let mut chosen = self.choose(dirs, missing)?;
        if !self.filters.is_empty() {
            let filters = Filters::parse(dirs, self.filters)?;
            let mut kept = Vec::with_capacity(chosen.len());
            for (word, container) in chosen {
                if filters.match_all(&container, &container.state(dirs)?) {
                    kept.push((word, container));
                }
            }
            chosen = kept;
        }
        Ok(chosen)
    }

    fn choose(&self, dirs: &Dirs, missing: &str) -> Result<Vec<(String, Container)>> {
        let by_id = |container: Container| (container.id().to_owned(), container);
        let named = !self.names.is_empty() || !self.cidfiles.is_empty();
        let all = self.all || (!named && !self.latest && !self.filters.is_empty());
        match (named, all, self.latest) {
            (true, true, _) => return Err(Error::new("--all and containers cannot be used together")),
            (true, _, true) => return Err(Error::new("--latest and containers cannot be used together")),
            (_, true, true) => return Err(Error::new("--all and --latest cannot be used together")),
            (false, false, false) => return Err(Error::new(missing)),
            (_, true, _) => return Ok(store::list(dirs)?.into_iter().map(by_id).collect()),
            (_, _, true) => return Ok(vec![by_id(store::latest(dirs)?)]),
            _ => {}
        }
        let mut words = self.names.to_vec();
        for file in self.cidfiles {
            match std::fs::read_to_string(file) {
                Ok(id) => words.push(id.trim().to_owned()),
                Err(e) if self.ignore && e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e).context(|| format!("cannot read the cidfile {}", file.display())),
            }
        }
        let mut found: Vec<(String, Container)> = Vec::with_capacity(words.len());
        for word in words {
            match store::find(dirs, &word) {
                Ok(container) if !self.repeats && found.iter().any(|(_, known)| known.id() == container.id()) => {}
                Ok(container) => found.push((word, container)),
                Err(e) if self.ignore && e.kind() == Kind::NoSuchObject => {}
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }
}
