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
use crate::error::Error;
pub(crate) use crate::state::events::{Event, Subject};
use crate::state::events::{append, directory};
use crate::state::paths::Dirs;

/// `status` has happened to an image: pull, push, tag, untag, remove, loadfromarchive, save, build.
pub(crate) fn image(dirs: &Dirs, status: &str, id: &str, name: &str) {
    let id = Cow::from(id.strip_prefix("sha256:").unwrap_or(id));
    append(&directory(dirs), &[Event { id, name: name.into(), ..Event::new(Subject::Image, status) }]);
}

/// An image could not be pulled.
pub(crate) fn pull_error(dirs: &Dirs, name: &str, error: &Error) {
    let error = error.to_string().into();
    append(&directory(dirs), &[Event { name: name.into(), error, ..Event::new(Subject::Image, "pull-error") }]);
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

/// A container was connected to a network or taken off it: `status` is connect or disconnect.
pub(crate) fn connection(dirs: &Dirs, status: &str, record: &Record, network: &str) {
    let event = Event {
        id: record.id.as_str().into(),
        name: record.name.as_str().into(),
        network: network.into(),
        ..Event::new(Subject::Network, status)
    };
    append(&directory(dirs), &[event]);
}

/// A container is gone; with the exit code of its program, if that ever ran.
pub(crate) fn removal(dirs: &Dirs, record: &Record, exit_code: Option<u8>) {
    append(&directory(dirs), &[Event { exit_code, ..record.named().event("remove") }]);
}

/// `status` has happened to a container. Its monitor notes the start and the end itself.
pub(crate) fn container(dirs: &Dirs, status: &str, record: &Record) {
    append(&directory(dirs), &[record.named().event(status)]);
}
