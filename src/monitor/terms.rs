//! What may change while a container runs: `update` and `rename` write it down and have the monitor read it again.

use oci_spec::runtime::LinuxResources;

use super::health::Healthcheck;
use super::protocol::{Event, Failure};
use super::restart::Policy;
use super::serve::Serving;
use super::state::Status;
use crate::error::Result;
use crate::network::helper::Facts;
use crate::state::events::Named;

/// As it holds now.
#[derive(Debug, Clone)]
pub(crate) struct Terms<'a> {
    /// How the container is named in its events.
    pub named: Named<'a>,
    pub restart: Policy,
    pub health: Option<&'a Healthcheck>,
    /// Other limits than the Spec's, for the next start.
    pub resources: Option<LinuxResources>,
}

/// As it has been written down.
#[derive(Debug)]
pub(crate) struct Changed {
    pub name: String,
    pub restart: Policy,
    pub health: Option<Healthcheck>,
    pub resources: Option<LinuxResources>,
    /// On bridge networks.
    pub facts: Option<Facts>,
}

/// Reads it.
pub(crate) type Reload<'a> = dyn Fn() -> Result<Changed> + 'a;

impl Serving<'_> {
    /// A client says that something was written down. It hears `Started` or `Error`.
    pub(super) fn reload(&mut self, index: usize) {
        let read = (self.reload)();
        let client = &mut self.clients[index];
        client.deaf = [true; 2];
        let answer = match &read {
            Ok(_) => client.send_event(&Event::Started),
            Err(error) => client.send_event(&Event::Error(&Failure::encode(error))),
        };
        client.gone |= answer.is_err();
        if let Ok(changed) = read {
            self.adopt(changed);
        }
    }

    fn adopt(&mut self, changed: Changed) {
        let Changed { name, restart, health, resources, facts } = changed;
        if let Some(facts) = facts {
            self.program.connection.readdress(facts);
        }
        (self.terms.restart, self.terms.resources) = (restart, resources);
        // Names and checks are kept for good: this process ends with its container, and few people change them often.
        let renamed = name != self.terms.named.name;
        if renamed {
            self.terms.named.name = name.leak();
        }
        if health.as_ref() != self.terms.health {
            self.terms.health = health.map(|health| &*Box::leak(Box::new(health)));
            // The checks begin anew, as Podman's timer does.
            self.clock = match self.state.status {
                Status::Initialized => None,
                _ => self.subject.clock(&self.terms),
            };
        } else if let Some(clock) = self.clock.as_mut().filter(|_| renamed) {
            clock.rename(self.terms.named);
        }
    }
}
