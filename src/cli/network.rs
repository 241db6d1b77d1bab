//! `network …`. Flags are Podman's.

use clap::Args;

/// Create a network
///
/// Containers on it find each other by name. Without --subnet one is chosen that collides with nothing on this host.
#[derive(Debug, Args)]
#[command(override_usage = "rpod network create [options] [NAME]")]
pub(crate) struct Create {
    /// Do not resolve names of containers
    #[arg(long)]
    pub disable_dns: bool,
    /// Name servers that this network asks instead of the host's
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub dns: Vec<String>,
    /// Kind of network (bridge, macvlan, ipvlan, overlay)
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge")]
    pub driver: String,
    /// Outside, let containers reach these only: allow=DOMAIN|*.DOMAIN|CIDR[:PORT],...
    #[arg(long, value_name = "POLICY")]
    pub egress: Vec<String>,
    /// Address of the gateway in the subnet
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub gateway: Vec<String>,
    /// Be content with a network of that name that exists
    #[arg(long)]
    pub ignore: bool,
    /// Name of the bridge
    #[arg(long, value_name = "NAME")]
    pub interface_name: Option<String>,
    /// No way out of this network
    #[arg(long)]
    pub internal: bool,
    /// Addresses given to containers (CIDR, or FIRST-LAST)
    #[arg(long, value_name = "RANGE")]
    pub ip_range: Vec<String>,
    /// How addresses are given: host-local
    #[arg(long, value_name = "DRIVER")]
    pub ipam_driver: Option<String>,
    /// Give the network IPv6 addresses as well
    #[arg(long)]
    pub ipv6: bool,
    /// Set metadata on the network (KEY=VALUE)
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Options: mtu=NUMBER, isolate=BOOL, no_default_route=BOOL, com.docker.network.bridge.name=NAME; macvlan, ipvlan:
    /// mode=MODE, parent=NETWORK; overlay: peer=HOST[:PORT] (several), peers-dir=PATH, key-file=PATH, port=NUMBER,
    /// vni=NUMBER, address=IP
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub opt: Vec<String>,
    /// Give containers a route (DESTINATION,GATEWAY[,METRIC])
    #[arg(long, value_name = "ROUTE")]
    pub route: Vec<String>,
    /// Addresses of the network (CIDR)
    #[arg(long, value_name = "SUBNET")]
    pub subnet: Vec<String>,
    #[arg(value_name = "NAME", hide = true)]
    pub name: Option<String>,
}

/// Connect a container to a network, at once when it runs
#[derive(Debug, Args)]
#[command(override_usage = "rpod network connect [options] NETWORK CONTAINER")]
pub(crate) struct Connect {
    /// Another name of the container on this network
    #[arg(long, value_name = "NAME")]
    pub alias: Vec<String>,
    /// IPv4 address on this network
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    /// IPv6 address on this network
    #[arg(long, value_name = "ADDRESS")]
    pub ip6: Option<String>,
    /// Hardware address on this network
    #[arg(long, value_name = "ADDRESS")]
    pub mac_address: Option<String>,
    /// Network to connect to
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// Container to connect
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

/// Take a container off a network, at once when it runs
#[derive(Debug, Args)]
#[command(override_usage = "rpod network disconnect [options] NETWORK CONTAINER")]
pub(crate) struct Disconnect {
    /// Also when the container is cut off from the network
    #[arg(short, long)]
    pub force: bool,
    /// Network to leave
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// Container to take off
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

/// Connect running containers to their networks anew
#[derive(Debug, Args)]
#[command(override_usage = "rpod network reload [options] [CONTAINER...]")]
pub(crate) struct Reload {
    /// All containers
    #[arg(short, long)]
    pub all: bool,
    /// The container that was created last
    #[arg(short, long)]
    pub latest: bool,
    #[arg(value_name = "CONTAINER", hide = true)]
    pub containers: Vec<String>,
}

/// Check whether a network exists: exit code 0 or 1
#[derive(Debug, Args)]
pub(crate) struct Exists {
    /// Network to look for
    #[arg(value_name = "NETWORK")]
    pub network: String,
}

/// Show everything known about networks
#[derive(Debug, Args)]
#[command(override_usage = "rpod network inspect [options] NETWORK [NETWORK...]")]
pub(crate) struct Inspect {
    /// Change the output format to JSON or a Go template
    #[arg(short, long, value_name = "FORMAT", default_value = "json")]
    pub format: String,
    #[arg(value_name = "NETWORK", hide = true)]
    pub networks: Vec<String>,
}

/// List networks
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only networks that match: name=, id=, driver=, label=, until=, dangling=
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Change the output format to JSON or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Do not shorten the IDs
    #[arg(long)]
    pub no_trunc: bool,
    /// Do not print the column headers
    #[arg(short, long)]
    pub noheading: bool,
    /// Print only the names
    #[arg(short, long)]
    pub quiet: bool,
}

/// Remove networks that no container is on
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Only networks that match: label=, until=
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
}

/// Remove one or more networks
#[derive(Debug, Args)]
#[command(override_usage = "rpod network rm [options] NETWORK [NETWORK...]")]
pub(crate) struct Rm {
    /// Remove the containers that are on it as well
    #[arg(short, long)]
    pub force: bool,
    /// Seconds to wait for containers to stop, with --force
    #[arg(short, long, value_name = "SECONDS")]
    pub time: Option<i64>,
    #[arg(value_name = "NETWORK", hide = true)]
    pub networks: Vec<String>,
}

/// Change the name servers of a network
#[derive(Debug, Args)]
#[command(override_usage = "rpod network update [options] NETWORK")]
pub(crate) struct Update {
    /// Ask these name servers as well
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub dns_add: Vec<String>,
    /// Do not ask these name servers any more
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub dns_drop: Vec<String>,
    /// Network to change
    #[arg(value_name = "NETWORK")]
    pub network: String,
}
