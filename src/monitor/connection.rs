//! The processes that connect a container: watched, and started again when somebody ends them.
//!
//! The container's namespaces stay what they are, so a new helper finds its device, addresses and routes there (pasta
//! makes them anew) and connections inside come to life again. Published ports are taken again under the same numbers.
//! One that ends again and again is waited with, longer each time; the container is never given up.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use super::restart::{Backoff, UP};
use crate::error::{Error, Result};
use crate::network::forward::{self, Forwarder, Listeners};
use crate::network::helper::{Ending, Facts, Prepared, Running};
use crate::network::ports::PortMapping;

/// The longest that a container is cut off when what had ended could stay again.
const LONGEST: Duration = Duration::from_secs(10);

/// What is connected, and how. Dropped, the processes end: the forwarder first, it leads into the helper's network.
#[derive(Debug, Default)]
pub(super) struct Connection {
    forwarder: Option<Forwarder>,
    helper: Option<Running>,
    facts: Facts,
    /// The published ports, with those host ports that were chosen.
    pub ports: Vec<PortMapping>,
    lost: Option<Lost>,
    /// When the last repair was done, and the waits before those that follow it soon.
    repaired: Option<(Instant, Backoff)>,
}

/// What has ended and is not there again yet.
#[derive(Debug)]
struct Lost {
    /// The helper; otherwise the forwarder alone.
    helper: bool,
    /// When the next repair is due.
    due: Instant,
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

    /// Readable when one of the processes has ended; none while a repair is due.
    pub(super) fn pidfds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let helper = self.helper.as_ref().and_then(Running::pidfd);
        let all = helper.into_iter().chain(self.forwarder.as_ref().map(Forwarder::pidfd));
        all.filter(|_| self.lost.is_none())
    }

    /// One of the processes has ended: a repair is due, at once unless the last one was a moment ago.
    pub(super) fn strike(&mut self) {
        if self.lost.is_some() {
            return;
        }
        let helper = self.helper.as_ref().and_then(Running::pidfd).is_some_and(ended);
        // It leads into a network that is not what it was.
        self.forwarder = None;
        let wait = match &mut self.repaired {
            Some((at, backoff)) if at.elapsed() < UP => backoff.next(at.elapsed()),
            _ => {
                self.repaired = None;
                Duration::ZERO
            }
        };
        self.lost = Some(Lost { helper, due: Instant::now() + wait });
    }

    /// The container is on other networks.
    pub(super) fn readdress(&mut self, facts: Facts) {
        if self.facts != facts {
            self.facts = facts;
            // One that has ended is started again with what is known now.
            let _ = self.forwarder.as_ref().map(|forwarder| forwarder.readdress(&self.facts));
        }
    }

    /// The user's runtime directory is another one.
    pub(super) fn moved(&mut self, runtime: &Path) -> Result<()> {
        self.helper.as_mut().map_or(Ok(()), |helper| helper.moved(runtime))
    }

    /// When [`Connection::repair`] is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        self.lost.as_ref().map(|lost| lost.due)
    }

    /// Starts what is missing. Answers what there is to say about it.
    ///
    /// # Errors
    /// When the container stays without (a part of) its network until the next time, which is due then.
    pub(super) fn repair(&mut self) -> Result<String> {
        let Some(Lost { helper, .. }) = self.lost.take() else { return Ok(String::new()) };
        let what = self.helper.as_ref().filter(|_| helper).map_or("the port forwarder", Running::name);
        let result = self.again(helper);
        let (at, backoff) = self.repaired.get_or_insert_with(|| (Instant::now(), Backoff::up_to(LONGEST)));
        *at = Instant::now();
        match result {
            Ok(()) => Ok(format!("{what} ended and was started again; its connections were lost")),
            Err(error) => {
                self.lost = Some(Lost { helper, due: Instant::now() + backoff.next(Duration::ZERO) });
                let lost = if helper { "the container has no network" } else { "no port is published" };
                Err(Error::wrap(format!("{what} ended and {lost} until it can be started again"), error))
            }
        }
    }

    fn again(&mut self, helper: bool) -> Result<()> {
        if let Some(running) = self.helper.as_mut().filter(|_| helper) {
            running.restart()?;
        }
        match &self.ports[..] {
            [] => Ok(()),
            ports => forward::listen::listen(ports, &[]).and_then(|listeners| self.publish(listeners)),
        }
    }
}

fn ended(pidfd: BorrowedFd<'_>) -> bool {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(pidfd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}
