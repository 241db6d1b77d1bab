//! Another host: a network namespace wired to this one, from which published ports are reached as clients reach them.

use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use super::cache::unique;
use super::command::Cmd;
use super::docker_registry::run;
use super::need::{Need, need};
use super::trial::{Stop, skip};

/// A client with an address of its own. Dropped, it is gone.
#[derive(Debug)]
pub struct ClientHost {
    name: String,
    network: u8,
}

impl ClientHost {
    pub fn new() -> Result<Self, Stop> {
        need([Need::ClientHost])?;
        let number = unique();
        let pid = std::process::id();
        // Other runs choose too, and one that was killed leaves its networks behind.
        let choosing = std::fs::File::create("/tmp/rpod-tests-client-hosts.lock")?;
        flock(&choosing, FlockOperation::LockExclusive)?;
        let network = free_network(pid.wrapping_mul(31) + number)?;
        let host = Self { name: format!("rpodt-{pid}-{number}"), network };
        let veth = format!("rt{}.{number}", pid % 100_000);
        ip(&["netns", "add", &host.name])?;
        ip(&["link", "add", &veth, "type", "veth", "peer", "name", "eth0", "netns", &host.name])?;
        ip(&["address", "add", &format!("{}/30", host.server_address()), "dev", &veth])?;
        ip(&["-6", "address", "add", &format!("{}/126", host.server_address6()), "dev", &veth, "nodad"])?;
        ip(&["link", "set", &veth, "up"])?;
        ip(&["-n", &host.name, "address", "add", &format!("{}/30", host.address()), "dev", "eth0"])?;
        ip(&["-n", &host.name, "-6", "address", "add", &format!("{}/126", host.address6()), "dev", "eth0", "nodad"])?;
        ip(&["-n", &host.name, "link", "set", "eth0", "up"])?;
        ip(&["-n", &host.name, "link", "set", "lo", "up"])?;
        drop(choosing);
        Ok(host)
    }

    /// The name of its network namespace, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client's own address.
    pub fn address(&self) -> String {
        format!("198.18.251.{}", self.network * 4 + 2)
    }

    pub fn address6(&self) -> String {
        std::net::Ipv6Addr::new(0xfd5a, 0x7e57, self.network.into(), 0, 0, 0, 0, 2).to_string()
    }

    /// Where it reaches the machine the tests run on.
    pub fn server_address(&self) -> String {
        format!("198.18.251.{}", self.network * 4 + 1)
    }

    pub fn server_address6(&self) -> String {
        std::net::Ipv6Addr::new(0xfd5a, 0x7e57, self.network.into(), 0, 0, 0, 0, 1).to_string()
    }

    /// A program on the client.
    pub fn program<'a>(&self, program: &str, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        Cmd::new(program, args).under(["ip", "netns", "exec", &self.name])
    }

    /// `curl -s URL` from the client.
    pub fn curl(&self, url: &str) -> Cmd {
        self.program("curl", ["-sS", "-g", "--max-time", "10", url])
    }
}

impl Drop for ClientHost {
    fn drop(&mut self) {
        // The veth pair goes with it.
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

/// A number whose network no interface is in. 198.18.0.0/15 is for tests; the networks are /30 out of it.
fn free_network(first: u32) -> Result<u8, Stop> {
    let addresses = String::from_utf8_lossy(&ip(&["-o", "-4", "address"])?).into_owned();
    let taken = |network: &u8| addresses.contains(&format!(" 198.18.251.{}/30 ", network * 4 + 1));
    match (0..64).map(|n| (first.wrapping_add(n) % 64) as u8).find(|network| !taken(network)) {
        Some(network) => Ok(network),
        None => skip("every network for clients is taken: ip netns delete those of earlier runs (rpodt-…)"),
    }
}

fn ip(args: &[&str]) -> Result<Vec<u8>, Stop> {
    run(Command::new("ip").args(args))
}
