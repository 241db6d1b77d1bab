//! Pausing: the monitor does it, because it keeps the state.

use super::store::Container;
use crate::engine::events;
use crate::error::{Error, Kind, Result};
use crate::monitor::client::Client;
use crate::monitor::state::Status;
use crate::state::paths::Dirs;

/// Stops all processes of a running container until [`unpause`].
pub(crate) fn pause(dirs: &Dirs, container: &Container) -> Result<()> {
    let problem = match container.state(dirs)?.status {
        Status::Running => return set(dirs, container, true),
        Status::Paused => format!("{:?} is already paused", container.id()),
        // Podman's message names the state.
        status => format!("{:?} is not running, can't pause", status.as_str()),
    };
    Err(Error::new(format!("{problem}: container state improper")).with_kind(Kind::Conflict))
}

/// Lets a paused container go on.
pub(crate) fn unpause(dirs: &Dirs, container: &Container) -> Result<()> {
    if container.state(dirs)?.status != Status::Paused {
        return Err(Error::new(format!("{:?} is not paused, can't unpause: container state improper", container.id()))
            .with_kind(Kind::Conflict));
    }
    set(dirs, container, false)
}

fn set(dirs: &Dirs, container: &Container, paused: bool) -> Result<()> {
    let verb = if paused { "pause" } else { "unpause" };
    let what = |error| Error::wrap(format!("cannot {verb} container {}", container.record.name), error);
    Client::connect(&container.place).and_then(|client| client.pause(paused)).map_err(what)?;
    events::container(dirs, verb, &container.record);
    Ok(())
}
