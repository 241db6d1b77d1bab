//! slirp4netns(1) on a tap device of ours.
//!
//! The device exists and is configured before the helper runs, so there is no `--configure` and no ready-fd to wait for:
//! from the moment slirp4netns attaches, the kernel keeps what the container sends until it is read. Its sandbox
//! and seccomp filter come after that and cost the container no time. Measured on two cores: attached after 2.3 ms, where
//! `--configure --ready-fd` answers after 4.2 ms.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::program::{self, Started};
use super::{Facts, Target};
use crate::error::{Context, Error, Result};
use crate::network::mode::SlirpOptions;
use crate::runtime::netdev::{Setup, Tap};
use crate::sys::namespace;

/// The IPv6 network inside is fixed by slirp4netns; its addresses have the roles of the IPv4 ones.
const fn inside(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number)
}

#[derive(Debug)]
pub(super) struct Slirp {
    program: PathBuf,
    options: SlirpOptions,
    ipv6: bool,
    /// Where the helper's attaching is heard.
    pub link: Option<OwnedFd>,
    /// Its own sandbox, which it makes as root of the container's user namespace: not where there is none
    /// (`setegid(0)` fails).
    pub sandbox: bool,
}

impl Slirp {
    pub(super) fn new(program: PathBuf, options: &SlirpOptions) -> Result<Self> {
        program::check_tun()?;
        // A kernel booted without IPv6 is no reason to refuse IPv4.
        let ipv6 = options.enable_ipv6 && std::path::Path::new("/proc/sys/net/ipv6").exists();
        Ok(Self { program, options: options.clone(), ipv6, link: None, sandbox: true })
    }

    pub(super) fn netdev(&self) -> Setup {
        let cidr = self.options.cidr;
        let mut addresses = vec![(IpAddr::V4(cidr.container()), cidr.prefix)];
        let mut gateways = vec![IpAddr::V4(cidr.gateway())];
        if self.ipv6 {
            // Every IPv6 interface has a link-local address; ours is given, because a generated one is usable after a second only.
            let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100);
            addresses.extend([(IpAddr::V6(inside(0x100)), 64), (IpAddr::V6(link_local), 64)]);
            gateways.push(IpAddr::V6(inside(2)));
        }
        Setup::new(Some(Tap { name: c"tap0".to_owned(), mtu: self.options.mtu, addresses, gateways }))
    }

    pub(super) fn facts(&self) -> Facts {
        let cidr = self.options.cidr;
        let mut facts = Facts {
            container: vec![cidr.container().into()],
            gateways: vec![cidr.gateway().into()],
            dns: vec![cidr.dns().into()],
            // Only so does the gateway lead to the host's services.
            host: self.options.allow_host_loopback.then(|| cidr.gateway().into()),
            ..Facts::default()
        };
        if self.ipv6 {
            facts.container.push(inside(0x100).into());
            facts.gateways.push(inside(2).into());
        }
        facts
    }

    pub(super) fn start(&self, target: &Target) -> Result<Started> {
        let (exit, tie) = program::pipe()?;
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::from(exit)).stdout(Stdio::null());
        command.args(["--exit-fd=0", "--enable-seccomp"]);
        if self.sandbox {
            command.arg("--enable-sandbox");
        }
        command.arg(format!("--mtu={}", self.options.mtu)).arg(format!("--cidr={}", self.options.cidr));
        if !self.options.allow_host_loopback {
            command.arg("--disable-host-loopback");
        }
        if self.ipv6 {
            command.arg("--enable-ipv6");
        }
        for (option, value) in
            [("outbound-addr", &self.options.outbound_addr), ("outbound-addr6", &self.options.outbound_addr6)]
        {
            if let Some(value) = value {
                command.arg(format!("--{option}={value}"));
            }
        }
        if let Some(user) = &target.user {
            // Not --userns-path: the process that makes the sandbox would then stay outside, where it has no right to.
            let user = user.try_clone().context(|| "cannot start slirp4netns")?;
            namespace::enter_before_exec(&mut command, user);
        }
        let keep = [&target.net];
        command.args(["--netns-type=path", &program::inherited_path(&target.net), "tap0"]);
        program::start("slirp4netns", command, &keep, tie)
    }

    pub(super) fn sign(&self) -> Result<BorrowedFd<'_>> {
        let link = self.link.as_ref().ok_or_else(|| Error::new("the container's tap device was not configured"))?;
        Ok(link.as_fd())
    }
}
