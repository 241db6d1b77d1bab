//! pasta(1) in the foreground, configuring the namespace itself with copies of the host's addresses and routes.
//!
//! Of its descriptors, newer versions keep only the standard streams, so these carry everything: the network
//! namespace is standard input, the pid that says it is ready goes to standard output. The user namespace is entered before
//! the program is executed, which leaves it with the rights it needs there and nothing to open.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::program::{self, Started};
use super::{Facts, Target};
use crate::error::{Context, Result};
use crate::network::mode::PastaOptions;
use crate::sys::{descriptor_signal, namespace};

/// Name server and host inside the namespace: link-local, so that they hide no address of the real network (as Podman's).
const DNS: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);

#[derive(Debug)]
pub(super) struct Pasta {
    program: PathBuf,
    options: PastaOptions,
    /// The program knows `--map-guest-addr` (passt of August 2024).
    maps_guest: bool,
}

impl Pasta {
    pub(super) fn new(program: PathBuf, options: &PastaOptions) -> Result<Self> {
        program::check_tun()?;
        let maps_guest = !options.has("map-guest-addr") && program::mentions(&program, "map-guest-addr");
        Ok(Self { program, options: options.clone(), maps_guest })
    }

    pub(super) fn facts(&self) -> Facts {
        let given: Vec<IpAddr> = self.options.values("dns-forward").filter_map(|ip| ip.parse().ok()).collect();
        let host = self.options.values("map-guest-addr").find_map(|ip| ip.parse().ok());
        Facts {
            dns: if given.is_empty() { vec![DNS.into()] } else { given },
            host: host.or(self.maps_guest.then_some(HOST.into())),
            ..Facts::default()
        }
    }

    pub(super) fn start(&self, target: &Target) -> Result<Started> {
        let what = || "cannot start pasta";
        let (tie, ready) = program::pipe()?;
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::from(target.net.try_clone().context(what)?));
        command.stdout(Stdio::from(ready.try_clone().context(what)?));
        command.args(["--foreground", "--quiet", "--config-net", "--no-netns-quit", "--pid", "/proc/self/fd/1"]);
        if let Some(user) = &target.user {
            namespace::enter_before_exec(&mut command, user.try_clone().context(what)?);
        }
        command.args(["--netns-only", "--netns", "/proc/self/fd/0"]);
        for (option, value) in [("tcp-ports", "none"), ("udp-ports", "none"), ("tcp-ns", "none"), ("udp-ns", "none")] {
            if !self.options.has(option) {
                command.arg(format!("--{option}")).arg(value);
            }
        }
        if !self.options.has("dns-forward") {
            command.arg("--dns-forward").arg(DNS.to_string());
        }
        if self.maps_guest {
            command.arg("--map-guest-addr").arg(HOST.to_string());
        }
        if !self.options.map_gw && !self.options.has("no-map-gw") {
            command.arg("--no-map-gw");
        }
        command.args(self.options.args.iter().filter(|arg| !matches!(arg.as_str(), "--quiet" | "--config-net")));
        if rustix::process::getuid().is_root() {
            // It refuses to keep root's ids, and nobody's cannot enter the namespace.
            command.args(["--runas", "0:0"]);
        }
        let started = program::start("pasta", command, &[], tie)?;
        descriptor_signal::kill_when_peer_closes(&ready, started.pid).context(what)?;
        Ok(started)
    }

    pub(super) fn sign<'a>(&self, started: &'a Started) -> Result<BorrowedFd<'a>> {
        Ok(started.tie.as_fd())
    }

    /// Whether the pid was written. It stays in the pipe: reading would count as a sign for the signal on its other end.
    pub(super) fn is_ready(&self, started: &Started) -> Result<bool> {
        Ok(rustix::io::ioctl_fionread(&started.tie).context(|| "cannot wait for pasta")? > 0)
    }
}
