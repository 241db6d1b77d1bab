//! `container cleanup`: bringing what is written about a container in line with what is.
//!
//! Mounts, network and namespaces live in the container's own namespaces and end with them: what can be left over is a
//! state that a killed monitor did not write, and a container that was made but never started.

use super::lifecycle;
use super::store::Container;
use crate::error::Result;
use crate::monitor::state::{State, Status};
use crate::state::paths::Dirs;

/// Tidies up after a container that does not run; one that runs is left alone.
pub(crate) fn cleanup(dirs: &Dirs, container: &Container) -> Result<()> {
    if container.state(dirs)?.status != Status::Initialized {
        return Ok(());
    }
    lifecycle::ask_to_stop(dirs, container, None)?.finish()?;
    let Some(_lock) = container.place.try_lock()? else { return Ok(()) };
    if container.reread().is_err() {
        // With --rm it is gone.
        return Ok(());
    }
    State::default().store(&container.place.record)
}
