//! Ending a container that its monitor would start again: the monitor is asked, not the program alone.

use std::time::Instant;

use super::store::Container;
use crate::error::Result;
use crate::monitor::client::Client;

/// Whether the monitor starts the program again after its end.
pub(super) fn revives(container: &Container) -> bool {
    !container.record.restart.is_no() || container.record.revives
}

/// A monitor that was asked to end its container for good.
#[derive(Debug)]
pub(super) struct Asked(Option<Client>);

impl Asked {
    /// Asks it, with `number` as the signal for the program.
    pub(super) fn stop(container: &Container, number: i32) -> Result<Self> {
        match Client::connect(&container.place) {
            Ok(client) => {
                client.stop(number);
                Ok(Self(Some(client)))
            }
            // It has just ended by itself, or is at its end.
            Err(_) if !container.place.locked()? || !container.place.attach_socket().exists() => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }

    /// Waits for the end; whether it came before `deadline`.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Result<bool> {
        self.0.as_ref().map_or(Ok(true), |client| client.wait_end(deadline))
    }
}
