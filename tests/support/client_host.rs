//! Another host: a network namespace wired to this one, from which published ports are reached as clients reach them.

use std::process::Command;

use super::cache::unique;
use super::command::Cmd;
use super::docker_registry::run;
use super::need::{Need, need};
use super::trial::Stop;

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
        // 198.18.0.0/15 is for tests; a /30 out of it that differs between runs at the same time.
        let network = ((pid.wrapping_mul(31) + number) % 64) as u8;
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
        Ok(host)
    }

    /// The client's own address.
    pub fn address(&self) -> String {
        format!("198.18.251.{}", self.network * 4 + 2)
    }

    pub fn address6(&self) -> String {
        format!("fd5a:7e57:{:x}::2", self.network)
    }

    /// Where it reaches the machine the tests run on.
    pub fn server_address(&self) -> String {
        format!("198.18.251.{}", self.network * 4 + 1)
    }

    pub fn server_address6(&self) -> String {
        format!("fd5a:7e57:{:x}::1", self.network)
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

fn ip(args: &[&str]) -> Result<Vec<u8>, Stop> {
    run(Command::new("ip").args(args))
}
