//! The processes that connect a container: watched, and started again when somebody ends them.
//!
//! The container's namespaces stay what they are, so a new helper finds its device, addresses and routes there (pasta
//! makes them anew) and connections inside come to life again. Published ports are taken again under the same numbers.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::network::forward::{self, Forwarder, Listeners};
use crate::network::helper::{Ending, Facts, Prepared, Running};
use crate::network::ports::PortMapping;

/// How often in a row a process that ends at once is started again, and how long it must stay to count as up.
const TRIES: u32 = 5;
const UP: Duration = Duration::from_secs(10);

/// What is connected, and how. Dropped, the processes end: the forwarder first, it leads into the helper's network.
#[derive(Debug, Default)]
pub(super) struct Connection {
    forwarder: Option<Forwarder>,
    helper: Option<Running>,
    facts: Facts,
    /// The published ports, with those host ports that were chosen.
    pub ports: Vec<PortMapping>,
    tries: u32,
    /// When the last repair was done.
    repaired: Option<Instant>,
}

/// Waits for the network and publishes the ports.
pub(super) fn connect(network: Option<Prepared>, listeners: Option<Listeners>) -> Result<Connection> {
    let Some(network) = network else { return Ok(Connection::default()) };
    let facts = network.facts().clone();
    let helper = network.ready()?;
    let mut connection = Connection { facts, helper: Some(helper), ..Connection::default() };
    if let Some(listeners) = listeners {
        connection.ports.clone_from(&listeners.mappings);
        connection.publish(listeners)?;
    }
    Ok(connection)
}

impl Connection {
    fn publish(&mut self, listeners: Listeners) -> Result<()> {
        let target = self.helper.as_ref().and_then(|helper| helper.target.as_ref());
        let target = target.ok_or_else(|| Error::new("this network cannot publish ports"))?;
        let forwarder = listeners.serve(target, &self.facts)?;
        forwarder.ready()?;
        self.forwarder = Some(forwarder);
        Ok(())
    }

    /// Ends what others could notice: the published ports, the container's place on its networks. What is left of the
    /// helper is waited for when the answer is dropped.
    pub(super) fn end(&mut self) -> Option<Ending> {
        let Self { forwarder, helper, .. } = std::mem::take(self);
        drop(forwarder);
        helper.map(Running::end)
    }

    /// Readable when one of the processes has ended.
    pub(super) fn pidfds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let helper = self.helper.as_ref().and_then(Running::pidfd);
        helper.into_iter().chain(self.forwarder.as_ref().map(Forwarder::pidfd))
    }

    /// One of the processes has ended: starts what is missing. Answers what there is to say about it.
    ///
    /// # Errors
    /// When the container stays without (a part of) its network.
    pub(super) fn repair(&mut self) -> Result<String> {
        let helper = self.helper.as_ref().filter(|helper| helper.pidfd().is_some_and(ended)).map(Running::name);
        let what = helper.unwrap_or("the port forwarder");
        let lost = |error: Error| {
            let lost = if helper.is_some() { "the container has no network" } else { "no port is published" };
            Error::wrap(format!("{what} ended and {lost} any more"), error)
        };
        self.forwarder = None;
        let result = self.again(helper.is_some());
        if result.is_err() {
            // Nothing is left that would be waited for.
            (self.helper, self.forwarder) = (None, None);
        }
        result.map_err(lost)?;
        Ok(format!("{what} ended and was started again; its connections were lost"))
    }

    fn again(&mut self, helper: bool) -> Result<()> {
        self.tries = if self.repaired.is_some_and(|at| at.elapsed() < UP) { self.tries + 1 } else { 1 };
        self.repaired = Some(Instant::now());
        if self.tries > TRIES {
            return Err(Error::new(format!("it was started again {TRIES} times and did not stay")));
        }
        if let Some(running) = self.helper.as_mut().filter(|_| helper) {
            running.restart()?;
        }
        match &self.ports[..] {
            [] => Ok(()),
            ports => forward::listen::listen(ports).and_then(|listeners| self.publish(listeners)),
        }
    }
}

fn ended(pidfd: BorrowedFd<'_>) -> bool {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(pidfd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}
