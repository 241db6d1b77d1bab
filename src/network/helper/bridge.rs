//! The netkeeper in the place of a helper.
//!
//! The connection to it is what keeps the container on its networks. When it hangs up, the netkeeper has been killed: the
//! container is cut off, and connected again through the next one.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::{Facts, Target};
use crate::error::{Context, Error, Result};
use crate::network::dns::zone::DOMAIN;
use crate::network::keeper::Link;
use crate::network::keeper::order::Order;
use crate::sys::namespace;
use crate::userns::IdMaps;

#[derive(Debug)]
pub(super) struct Bridge {
    link: Link,
    /// The container's own namespaces.
    own: Option<Target>,
}

/// What the container's name files and the forwarder need.
pub(crate) fn facts(order: &Order) -> Facts {
    let addresses = order.addresses();
    let only_ipv6 = addresses.iter().all(|address| address.ip.is_ipv6());
    let gateway = |ipv4: bool| addresses.iter().filter(move |a| !ipv4 || a.ip.is_ipv4()).filter_map(|a| a.gateway);
    let mut dns: Vec<IpAddr> = gateway(!only_ipv6).collect();
    // A resolver looks at three (resolv.conf(5)), and each of them knows everything.
    dns.truncate(3);
    Facts {
        container: addresses.iter().map(|address| address.ip).collect(),
        gateways: gateway(false).collect(),
        dns,
        bridged: true,
        domain: order.joins.iter().any(|join| join.network.dns_enabled).then_some(DOMAIN),
        ..Facts::default()
    }
}

impl Bridge {
    pub(super) fn new(link: Link) -> Self {
        Self { link, own: None }
    }

    pub(super) fn parent(&self) -> (BorrowedFd<'_>, &IdMaps) {
        (self.link.user.as_fd(), &self.link.maps)
    }

    /// The container's namespaces are there: has them connected.
    pub(super) fn wire(&mut self, own: Target) -> Result<()> {
        if !self.may_wire(&own)? {
            return Err(Error::new(
                "a container that joins namespaces of one without a bridge network cannot be on one itself",
            )
            .hint(
                "start the other container on a bridge network too, or share its network: --network container:NAME",
            ));
        }
        self.link.wire(&own.net)?;
        self.own = Some(own);
        Ok(())
    }

    /// Whether the netkeeper has rights over the namespaces: over those that were made below its own, not over those of a container
    /// whose user namespace is beside it.
    fn may_wire(&self, own: &Target) -> Result<bool> {
        let what = || "cannot examine the container's user namespace";
        let Some(user) = &own.user else { return Ok(false) };
        // Above what this process may see there is no netkeeper.
        let Ok(above) = namespace::parent(user.as_fd()) else { return Ok(false) };
        let above = rustix::fs::fstat(&above).context(what)?;
        let keeper = rustix::fs::fstat(&self.link.user).context(what)?;
        Ok((above.st_dev, above.st_ino) == (keeper.st_dev, keeper.st_ino))
    }

    /// Waits until they are; where published ports are forwarded from.
    pub(super) fn wired(&mut self) -> Result<Target> {
        let net = self.link.wired()?;
        let user = self.link.user.try_clone().context(|| "cannot keep the netkeeper's user namespace")?;
        Ok(Target { user: Some(user), net })
    }

    /// Hung up when the netkeeper has ended.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.link.descriptor().as_fd()
    }

    pub(super) fn moved(&mut self, runtime: &Path) -> Result<()> {
        self.link.moved(runtime)
    }

    /// Connects the container again, through a new netkeeper.
    pub(super) fn again(&mut self) -> Result<Target> {
        let own = self.own.as_ref().ok_or_else(|| Error::new("the container has no namespaces"))?;
        self.link = self.link.again(own.user.as_ref())?;
        self.link.wire(&own.net)?;
        self.wired()
    }
}
