//! Taking cables away without waiting for the kernel to forget them.
//!
//! The answer to RTM_DELLINK comes when nothing in the kernel refers to the interface any more, tens of milliseconds after it
//! has disappeared for everybody. The request is made by a process of its own, which is nobody's to wait for.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::sys::netlink::{self, Batch};
use crate::sys::process::{Fork, exit_now, fork};

/// How long an interface may take to disappear, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes interfaces of the caller's namespace. With `wait`, they have disappeared when this returns.
pub(super) fn unplug(names: &[String], wait: bool) {
    if names.is_empty() {
        return;
    }
    let events = if wait { netlink::link_events().ok() } else { None };
    match fork() {
        Ok(Fork::Child) => {
            if let Ok(Fork::Child) = fork() {
                let _ = rustix::thread::set_name(c"rpod-unplug");
                remove(names);
            }
            exit_now(0)
        }
        Ok(Fork::Parent(child)) => {
            // It ends at once.
            let _ = child.wait();
        }
        // Slower, but done.
        Err(_) => return remove(names),
    }
    let Some(events) = events else { return };
    let deadline = Instant::now() + PATIENCE;
    let mut left: Vec<&String> = names.iter().collect();
    loop {
        // Asked after each event: one that was lost, or was never to come, does not matter.
        let there = netlink::socket();
        left.retain(|name| there.as_ref().is_ok_and(|socket| exists(socket, name)));
        let time = deadline.saturating_duration_since(Instant::now());
        if left.is_empty() || time.is_zero() {
            return;
        }
        let mut fds = [PollFd::from_borrowed_fd(events.as_fd(), PollFlags::IN)];
        let _ = poll(&mut fds, Timespec::try_from(time).ok().as_ref());
        let mut buffer = [0; 8192];
        while rustix::net::recv(&events, &mut buffer[..], rustix::net::RecvFlags::DONTWAIT).is_ok() {}
    }
}

fn exists(socket: &std::os::fd::OwnedFd, name: &str) -> bool {
    std::ffi::CString::new(name).is_ok_and(|name| crate::sys::tun::interface_index(socket, &name).is_ok())
}

fn remove(names: &[String]) {
    let Ok(socket) = netlink::socket() else { return };
    for name in names {
        let mut batch = Batch::default();
        batch.remove_link("remove a cable", name);
        // It may have gone with its container.
        let _ = batch.apply_all(&socket, 0);
    }
}
