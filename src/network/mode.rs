//! `--network` as typed → [`Mode`].
//!
//! Option names, defaults and refusals are Podman's; every option of a helper is checked here, before anything starts.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::bridge::endpoint::Endpoint;
use super::pasta_options;
use crate::error::{Error, Result};
use crate::state::names;

/// How a container is connected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// A namespace of its own, connected by whichever helper is installed.
    #[default]
    Private,
    /// A namespace of its own with a loopback interface only.
    None,
    Host,
    Slirp4netns(SlirpOptions),
    Pasta(PastaOptions),
    /// Bridge networks, in the order of the container's interfaces.
    Bridge(Vec<Endpoint>),
    /// The namespace of another container, by name or id.
    Container(String),
    /// A namespace kept at a path.
    Path(PathBuf),
}

/// `slirp4netns:…`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlirpOptions {
    pub allow_host_loopback: bool,
    pub mtu: u32,
    pub cidr: Cidr,
    pub enable_ipv6: bool,
    /// An IPv4 address or an interface of the host.
    pub outbound_addr: Option<String>,
    /// An IPv6 address or an interface of the host.
    pub outbound_addr6: Option<String>,
}

impl Default for SlirpOptions {
    fn default() -> Self {
        Self {
            allow_host_loopback: false,
            mtu: 65520,
            cidr: Cidr { network: Ipv4Addr::new(10, 0, 2, 0), prefix: 24 },
            enable_ipv6: true,
            outbound_addr: None,
            outbound_addr6: None,
        }
    }
}

/// The IPv4 network inside a slirp4netns namespace. The roles of its addresses are fixed by slirp4netns(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cidr {
    pub network: Ipv4Addr,
    pub prefix: u8,
}

impl Cidr {
    fn host(self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network) + number)
    }

    pub(crate) fn gateway(self) -> Ipv4Addr {
        self.host(2)
    }

    pub(crate) fn dns(self) -> Ipv4Addr {
        self.host(3)
    }

    pub(crate) fn container(self) -> Ipv4Addr {
        self.host(100)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// `pasta:…`: arguments of pasta(1), checked against what it documents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct PastaOptions {
    pub args: Vec<String>,
    /// `--map-gw`: the gateway's address leads to the host.
    pub map_gw: bool,
}

/// As `inspect` shows it (HostConfig.NetworkMode).
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => f.write_str("private"),
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Slirp4netns(_) => f.write_str("slirp4netns"),
            Self::Pasta(_) => f.write_str("pasta"),
            Self::Bridge(_) => f.write_str("bridge"),
            Self::Container(id) => write!(f, "container:{id}"),
            Self::Path(path) => write!(f, "ns:{}", path.display()),
        }
    }
}

/// The meaning of one `--network` value.
pub(crate) fn parse(value: &str) -> Result<Mode> {
    let (name, rest) = match value.split_once(':') {
        Some((name, rest)) => (name, Some(rest)),
        None => (value, None),
    };
    let plain = |mode: Mode| match rest {
        None => Ok(mode),
        Some(rest) => Err(Error::new(format!("network {name:?} takes no options, and {rest:?} was given"))),
    };
    match name {
        "" | "default" | "private" => plain(Mode::Private),
        "none" => plain(Mode::None),
        "host" => plain(Mode::Host),
        "slirp4netns" => slirp(rest.unwrap_or_default()).map(Mode::Slirp4netns),
        "pasta" => pasta_options::parse(rest.unwrap_or_default()).map(Mode::Pasta),
        "container" => match rest.filter(|id| !id.is_empty()) {
            Some(id) => Ok(Mode::Container(id.to_owned())),
            None => Err(Error::new("network \"container:\" needs the name or id of a container")),
        },
        "ns" => match rest.filter(|path| !path.is_empty()) {
            Some(path) => Ok(Mode::Path(PathBuf::from(path))),
            None => Err(Error::new("network \"ns:\" needs the path of a network namespace")),
        },
        "pod" => Err(Error::new("network \"pod\" is for containers of a pod")),
        _ => {
            names::check(name).map_err(|e| Error::wrap(format!("network name {name} invalid"), e))?;
            Endpoint::parse(name, rest.unwrap_or_default()).map(|endpoint| Mode::Bridge(vec![endpoint]))
        }
    }
}

/// The meaning of all `--network` values: several must be bridge networks.
pub(crate) fn parse_all(values: &[String]) -> Result<Mode> {
    // Without options, a comma stands between names.
    let names = values.iter().flat_map(|value| match value.contains(':') {
        true => vec![value.as_str()],
        false => value.split(',').collect(),
    });
    let mut modes = names.map(parse).collect::<Result<Vec<_>>>()?;
    if modes.len() < 2 {
        return Ok(modes.pop().unwrap_or_default());
    }
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for mode in modes {
        let Mode::Bridge(more) = mode else {
            return Err(Error::new(format!(
                "cannot set multiple networks without bridge network mode, selected mode {mode}: invalid argument"
            )));
        };
        for endpoint in more {
            // Named twice: as it was named last.
            match endpoints.iter_mut().find(|other| other.network == endpoint.network) {
                Some(other) => *other = endpoint,
                None => endpoints.push(endpoint),
            }
        }
    }
    Ok(Mode::Bridge(endpoints))
}

impl Mode {
    /// Names of the bridge networks, as typed.
    pub(crate) fn networks(&self) -> Vec<String> {
        match self {
            Self::Bridge(endpoints) => endpoints.iter().map(|endpoint| endpoint.network.clone()).collect(),
            _ => Vec::new(),
        }
    }
}

fn slirp(text: &str) -> Result<SlirpOptions> {
    let mut options = SlirpOptions::default();
    for option in text.split(',').filter(|o| !o.is_empty()) {
        slirp_option(&mut options, option).map_err(|why| {
            Error::wrap(format!("invalid network option slirp4netns:{option}"), why)
                .hint("The options are allow_host_loopback, mtu, cidr, enable_ipv6, outbound_addr, outbound_addr6 and port_handler")
        })?;
    }
    if options.outbound_addr6.is_some() && !options.enable_ipv6 {
        return Err(Error::new("network option outbound_addr6 needs enable_ipv6=true"));
    }
    if options.enable_ipv6 && options.mtu < 1280 {
        return Err(Error::new(format!("network option mtu={}: IPv6 needs at least 1280", options.mtu))
            .hint("Add enable_ipv6=false, or raise the MTU"));
    }
    Ok(options)
}

fn slirp_option(options: &mut SlirpOptions, option: &str) -> Result<(), String> {
    let (key, value) = option.split_once('=').ok_or("options are written NAME=VALUE")?;
    let boolean = || match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("the value must be true or false".to_owned()),
    };
    match key {
        "allow_host_loopback" => options.allow_host_loopback = boolean()?,
        "enable_ipv6" => options.enable_ipv6 = boolean()?,
        "mtu" => {
            let mtu = value.parse().ok().filter(|mtu| (68..=65521).contains(mtu));
            options.mtu = mtu.ok_or("the MTU must be 68 to 65521")?;
        }
        "cidr" => options.cidr = cidr(value)?,
        "outbound_addr" => {
            if value.parse::<Ipv4Addr>().is_err() {
                interface(value, "IPv4")?;
            }
            options.outbound_addr = Some(value.to_owned());
        }
        "outbound_addr6" => {
            if value.parse::<Ipv6Addr>().is_err() {
                interface(value, "IPv6")?;
            }
            options.outbound_addr6 = Some(value.to_owned());
        }
        // Podman's choice of who forwards published ports. rpod has one forwarder, which does what either is chosen for.
        "port_handler" if matches!(value, "rootlesskit" | "slirp4netns") => {}
        "port_handler" => return Err("the value must be rootlesskit or slirp4netns".into()),
        _ => return Err("no such option".into()),
    }
    Ok(())
}

/// slirp4netns(1): prefix lengths 1 to 25, so that address 100 exists; not loopback.
fn cidr(value: &str) -> Result<Cidr, String> {
    let parsed = value.split_once('/').and_then(|(ip, prefix)| Some((ip.parse().ok()?, prefix.parse().ok()?)));
    let (network, prefix): (Ipv4Addr, u8) = parsed.ok_or("a network is written as 10.0.2.0/24")?;
    if !(1..=25).contains(&prefix) {
        return Err("the prefix length must be 1 to 25".into());
    }
    let mask = u32::MAX << (32 - u32::from(prefix));
    if u32::from(network) & !mask != 0 {
        return Err(format!("not a network address: {}/{prefix} would be", Ipv4Addr::from(u32::from(network) & mask)));
    }
    if network.is_loopback() || network.is_multicast() || network.is_unspecified() {
        return Err("this network cannot be used".into());
    }
    Ok(Cidr { network, prefix })
}

fn interface(name: &str, family: &str) -> Result<(), String> {
    let valid = !name.is_empty() && name.len() < 16 && !name.contains('/') && name != "." && name != "..";
    if valid && std::path::Path::new("/sys/class/net").join(name).exists() {
        return Ok(());
    }
    Err(format!("{name:?} is neither an {family} address nor a network interface of this host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(value: &str) -> String {
        parse(value).map_or_else(|e| format!("ERR {e}"), |mode| format!("{mode:?}"))
    }

    #[test]
    fn modes() {
        for (value, expected) in [
            ("", Mode::Private),
            ("private", Mode::Private),
            ("default", Mode::Private),
            ("none", Mode::None),
            ("host", Mode::Host),
            ("slirp4netns", Mode::Slirp4netns(SlirpOptions::default())),
            ("pasta", Mode::Pasta(PastaOptions::default())),
            ("container:web", Mode::Container("web".into())),
            ("ns:/run/netns/a:b", Mode::Path("/run/netns/a:b".into())),
        ] {
            assert_eq!(show(value), format!("{expected:?}"), "{value}");
        }
    }

    #[test]
    fn refusals() {
        for (value, part) in [
            ("bridge:foo=1", "unknown option"),
            ("mynet:ip=10.1.1", "invalid ip address"),
            ("my/net", "names must match"),
            ("pod", "containers of a pod"),
            ("none:x", "takes no options"),
            ("host:", "takes no options"),
            ("container:", "needs the name or id"),
            ("ns:", "needs the path"),
            ("slirp4netns:foo=1", "no such option"),
            ("slirp4netns:mtu", "NAME=VALUE"),
            ("slirp4netns:mtu=67", "68 to 65521"),
            ("slirp4netns:mtu=65522", "68 to 65521"),
            ("slirp4netns:mtu=1000", "at least 1280"),
            ("slirp4netns:cidr=10.0.2.0", "written as"),
            ("slirp4netns:cidr=10.0.2.1/24", "10.0.2.0/24 would be"),
            ("slirp4netns:cidr=10.0.2.0/26", "1 to 25"),
            ("slirp4netns:cidr=127.0.0.0/8", "cannot be used"),
            ("slirp4netns:cidr=fd00::/64", "written as"),
            ("slirp4netns:allow_host_loopback=yes", "true or false"),
            ("slirp4netns:enable_ipv6=1", "true or false"),
            ("slirp4netns:outbound_addr=::1", "neither an IPv4 address"),
            ("slirp4netns:outbound_addr=../lo", "neither an IPv4 address"),
            ("slirp4netns:outbound_addr6=10.0.0.1", "neither an IPv6 address"),
            ("slirp4netns:enable_ipv6=false,outbound_addr6=::1", "needs enable_ipv6=true"),
            ("slirp4netns:port_handler=x", "rootlesskit or slirp4netns"),
        ] {
            let shown = show(value);
            assert!(shown.starts_with("ERR") && shown.contains(part), "{value}: {shown}");
        }
    }

    #[test]
    fn slirp_options() {
        let all = "slirp4netns:allow_host_loopback=true,mtu=1400,cidr=10.9.0.0/16,enable_ipv6=false,outbound_addr=lo,port_handler=slirp4netns";
        let expected = SlirpOptions {
            allow_host_loopback: true,
            mtu: 1400,
            cidr: Cidr { network: Ipv4Addr::new(10, 9, 0, 0), prefix: 16 },
            enable_ipv6: false,
            outbound_addr: Some("lo".into()),
            outbound_addr6: None,
        };
        assert_eq!(parse(all).ok(), Some(Mode::Slirp4netns(expected)));
        let Ok(Mode::Slirp4netns(v6)) = parse("slirp4netns:outbound_addr6=fd00::1,mtu=1280") else { panic!("refused") };
        assert_eq!(v6.outbound_addr6.as_deref(), Some("fd00::1"));
        assert_eq!(v6.cidr.container(), Ipv4Addr::new(10, 0, 2, 100));
    }
}
