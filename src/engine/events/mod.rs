//! The events of this host: one call each to note one, and reading them back.
//!
//! Whoever changes something calls one of these after the change:
//! ```ignore
//! events::image(dirs, "pull", &image.id.hex(), &name);
//! events::volume(dirs, "create", &name);
//! events::network(dirs, "create", &id, &name, "bridge");
//! events::container(dirs, "rename", &container.record);
//! ```
//! The words are Podman's (podman-events(1)). How they are kept is said in [`crate::state::events`].

mod filter;
mod read;

pub(crate) use filter::Filters;
pub(crate) use read::{Wanted, read};

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::container::record::Record;
pub(crate) use crate::state::events::{Event, Subject};
use crate::state::events::{append, directory};
use crate::state::paths::Dirs;

/// `status` has happened to an image: pull, push, tag, untag, remove, loadfromarchive, save, import, build.
pub(crate) fn image(dirs: &Dirs, status: &str, id: &str, name: &str) {
    let id = Cow::from(id.strip_prefix("sha256:").unwrap_or(id));
    append(&directory(dirs), &[Event { id, name: name.into(), ..Event::new(Subject::Image, status) }]);
}

/// `status` has happened to a volume: create, remove, prune.
pub(crate) fn volume(dirs: &Dirs, status: &str, name: &str) {
    append(&directory(dirs), &[Event { name: name.into(), ..Event::new(Subject::Volume, status) }]);
}

/// `status` has happened to a network: create, remove. `driver` is what makes it.
pub(crate) fn network(dirs: &Dirs, status: &str, id: &str, name: &str, driver: &str) {
    let attributes = BTreeMap::from([("driver".to_owned(), driver.to_owned())]);
    let event = Event {
        id: id.into(),
        network: name.into(),
        attributes: Some(Cow::Owned(attributes)),
        ..Event::new(Subject::Network, status)
    };
    append(&directory(dirs), &[event]);
}

/// `status` has happened to a container. Its monitor notes the start and the end itself.
pub(crate) fn container(dirs: &Dirs, status: &str, record: &Record) {
    append(&directory(dirs), &[record.named().event(status)]);
}
