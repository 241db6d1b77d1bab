//! Containers whose record cannot be read: torn by a power cut, or changed by a curious hand. They stop no command about
//! other containers; until somebody removes them, what one of them may use is not cleared away.

use super::store::{self, Container};
use super::{elsewhere, remove, repair};
use crate::error::{Error, Kind, Result};
use crate::monitor::place::Place;
use crate::monitor::state::State;
use crate::state::paths::Dirs;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub id: String,
    pub why: String,
}

impl Damaged {
    /// What cannot be done because of it, and how to be rid of it.
    pub(crate) fn error(&self, what: &str) -> Error {
        Error::new(format!("{what}: container {}: {}", self.id, self.why))
            .hint(format!("rpod rm -f {} removes it", self.id))
    }
}

/// Fails when there is any: for those who clear away what no container uses.
pub(crate) fn none(dirs: &Dirs) -> Result<()> {
    match store::survey(dirs)?.1.first() {
        None => Ok(()),
        Some(damaged) => Err(damaged.error("cannot tell what is in use")),
    }
}

/// The one of this name, id or beginning of an id.
pub(crate) fn find(dirs: &Dirs, word: &str) -> Result<Option<Damaged>> {
    let named = store::name_target(dirs, word);
    let meant = |damaged: &Damaged| match &named {
        Some(id) => *id == damaged.id,
        None => !word.is_empty() && damaged.id.starts_with(word),
    };
    let mut found = store::survey(dirs)?.1.into_iter().filter(meant);
    Ok(found.next().filter(|_| found.next().is_none()))
}

/// Removes one, with its name. Volumes that were made for it stay: nobody knows them any more.
pub(crate) fn remove(dirs: &Dirs, damaged: &Damaged) -> Result<()> {
    for place in [true, false].map(|rm| Place::new(dirs, &damaged.id, rm)) {
        let monitor = State::load(&place.record).monitor;
        let Some(lock) = place.try_lock()?.filter(|_| !place.inhabited(monitor)) else {
            return Err(Error::new(format!("container {} is in use, by process {monitor} as it says", damaged.id))
                .with_kind(Kind::Conflict)
                .hint("end that process first, if it is rpod"));
        };
        // Somebody may have mended it.
        if matches!(Container::load(dirs, &damaged.id), Ok(Some(_))) {
            return Ok(());
        }
        remove::clear(&place, &lock)?;
    }
    elsewhere::unmark(dirs, &damaged.id);
    repair::forget_names(dirs, &damaged.id)
}
