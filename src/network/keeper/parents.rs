//! Parent interfaces: what macvlan and ipvlan interfaces of containers hang on.
//!
//! A parent is one end of a cable whose other end is in a network's bridge. It lies in a namespace of its own that has
//! nothing else: in the netkeeper's, the netkeeper's own IP stack would answer through it, past the rules of the bridge.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::thread::UnshareFlags;

use super::wires::{apply, index};
use crate::error::{Context, Result};
use crate::network::bridge::driver::{Attachment, MacvlanMode};
use crate::sys::namespace;
use crate::sys::netlink::{self, Batch, Index, Mac, Peer, SubInterface};
use crate::sys::process::exit_now;

/// The interface's name in its namespace is that of its other end in the bridge.
#[derive(Debug)]
pub(super) struct Parents {
    /// In the namespace of the parents.
    netlink: OwnedFd,
    namespace: OwnedFd,
    /// By bridge and what hangs on them.
    indexes: HashMap<(String, Attachment), u32>,
}

impl Parents {
    /// Makes their namespace; `own` is the caller's, to which it returns.
    pub(super) fn new(own: &OwnedFd) -> Result<Self> {
        let what = || "cannot make a namespace for parent interfaces";
        namespace::unshare(UnshareFlags::NEWNET).context(what)?;
        let made = netlink::socket().and_then(|netlink| Ok((namespace::of_socket(netlink.as_fd())?, netlink)));
        if namespace::setns(own.as_fd(), libc::CLONE_NEWNET).is_err() {
            // It could not do its work from here. Another netkeeper is better than this one.
            exit_now(1);
        }
        let (namespace, netlink) = made.context(what)?;
        Ok(Self { netlink, namespace, indexes: HashMap::new() })
    }

    /// The parent of what hangs on a bridge, made when it is the first; `name` is free for one.
    pub(super) fn get(
        &mut self,
        bridge: (&str, u32),
        attachment: Attachment,
        name: &str,
        mac: Mac,
        mtu: u32,
        keeper: &OwnedFd,
    ) -> Result<u32> {
        // A parent that is passed through has one container only.
        let shared = attachment != Attachment::Macvlan(MacvlanMode::Passthru);
        let key = (bridge.0.to_owned(), attachment);
        if let Some(index) = self.indexes.get(&key).filter(|_| shared) {
            return Ok(*index);
        }
        let mut batch = Batch::default();
        let peer = Peer { name, mac, namespace: self.namespace.as_fd() };
        batch.cable("make the parent interface", name, bridge.1, mtu, peer);
        if attachment == Attachment::Macvlan(MacvlanMode::Vepa) {
            // The switch sends back what is for a neighbour on the same port.
            batch.hairpin("make the parent interface", name);
        }
        apply(keeper, &batch)?;
        let number = index(&self.netlink, name)?;
        let mut batch = Batch::default();
        batch.up("bring up the parent interface", Index::Known(number), None, false);
        apply(&self.netlink, &batch)?;
        if shared {
            self.indexes.insert(key, number);
        }
        Ok(number)
    }

    /// Makes a container's interface on a parent.
    pub(super) fn attach(&self, interface: &SubInterface<'_>) -> Result<(), (&'static str, rustix::io::Errno)> {
        let mut batch = Batch::default();
        batch.sub_interface("connect the container to the parent interface", interface);
        batch.apply_all(&self.netlink, 0)
    }

    /// A bridge is removed, and with it the other ends of its parents.
    pub(super) fn forget(&mut self, bridge: &str) {
        self.indexes.retain(|(name, _), _| name != bridge);
    }
}
