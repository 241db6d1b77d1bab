//! What /etc/resolv.conf and /etc/hosts say in a container. Pure: the host's files go in as text.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use super::helper::Facts;
use crate::error::{Error, Result};

/// `--dns`, `--dns-search`, `--dns-option`.
#[derive(Debug, Clone, Default)]
pub(crate) struct DnsOptions {
    pub servers: Vec<String>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

/// The container's resolv.conf, from the host's; `None` leaves the image's own alone (`--dns none`).
///
/// A name server on the host's loopback interface is not one in the container's: the helper's forwarder, which asks the
/// host's first server wherever that is, comes first, and loopback servers are left out.
pub(crate) fn resolv_conf(host: &str, facts: &Facts, options: &DnsOptions) -> Result<Option<String>> {
    if options.servers.iter().any(|server| server == "none") {
        if options.servers.len() > 1 || !options.search.is_empty() || !options.options.is_empty() {
            return Err(Error::new("--dns none leaves resolv.conf to the image: it goes with no other DNS option"));
        }
        return Ok(None);
    }
    let from_host = HostResolver::parse(host);
    let given = options.servers.iter().map(|server| match server.parse::<IpAddr>() {
        Ok(_) => Ok(server.clone()),
        Err(_) => Err(Error::new(format!("--dns {server:?} is no IP address"))),
    });
    let mut servers = given.collect::<Result<Vec<String>>>()?;
    if servers.is_empty() {
        servers.extend(facts.dns.iter().map(ToString::to_string));
        // The name server of bridges asks the host's; a resolver that asked those as well would miss names of containers.
        let visible = |server: &&str| !facts.bridged && (facts.shares_host || !on_loopback(server));
        servers.extend(from_host.servers.into_iter().filter(visible).map(str::to_owned));
    }
    let search: Vec<&str> = match options.search.as_slice() {
        [] => facts.domain.into_iter().chain(from_host.search).collect(),
        // A single dot means: none.
        given => given.iter().map(String::as_str).filter(|domain| *domain != ".").collect(),
    };
    let resolver_options: Vec<&str> = match options.options.as_slice() {
        [] => from_host.options,
        given => given.iter().map(String::as_str).collect(),
    };
    if let Some(odd) = search.iter().chain(&resolver_options).find(|word| word.contains(char::is_whitespace)) {
        return Err(Error::new(format!("{odd:?} cannot stand in resolv.conf: it contains a blank")));
    }
    let mut text = String::new();
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    for server in &servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !resolver_options.is_empty() {
        let _ = writeln!(text, "options {}", resolver_options.join(" "));
    }
    Ok(Some(text))
}

/// resolv.conf(5).
#[derive(Debug, Default)]
struct HostResolver<'a> {
    servers: Vec<&'a str>,
    search: Vec<&'a str>,
    options: Vec<&'a str>,
}

impl<'a> HostResolver<'a> {
    fn parse(text: &'a str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolver.servers.extend(words.next()),
                // The last of these lines counts.
                Some("search" | "domain") => resolver.search = words.collect(),
                Some("options") => resolver.options.extend(words),
                _ => {}
            }
        }
        resolver
    }
}

/// The name servers that a resolv.conf names.
pub(crate) fn host_resolvers(text: &str) -> Vec<IpAddr> {
    HostResolver::parse(text).servers.iter().filter_map(|server| server.parse().ok()).collect()
}

/// Loopback, also with a zone (`fe80::1%eth0` names an interface that the container does not have).
fn on_loopback(server: &str) -> bool {
    match server.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip.is_unspecified(),
        Err(_) => true,
    }
}

/// What goes into /etc/hosts beside the host's entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostNames<'a> {
    /// `--add-host NAME:ADDRESS`.
    pub added: &'a [String],
    pub hostname: &'a str,
    pub name: &'a str,
}

impl HostNames<'_> {
    /// What the container is called in its own line.
    fn own(&self) -> String {
        let mut names = vec![self.hostname, self.name];
        names.retain(|name| !name.is_empty());
        names.dedup();
        names.join(" ")
    }
}

/// The hosts file of a container in the network of another one, whose file this is.
pub(crate) fn joined_hosts(theirs: &str, names: &HostNames<'_>) -> String {
    let own = names.own();
    let line = if own.is_empty() { String::new() } else { format!("{}\t{own}\n", Ipv4Addr::LOCALHOST) };
    [theirs, &line].concat()
}

/// The container's hosts file, from the host's. Earlier entries win when a name is looked up.
pub(crate) fn hosts(host: &str, facts: &Facts, names: &HostNames<'_>) -> Result<String> {
    let host_address = facts
        .host
        .or_else(|| preferred_address(Ipv4Addr::UNSPECIFIED.into()))
        .or_else(|| preferred_address(Ipv6Addr::UNSPECIFIED.into()));
    let mut text = String::new();
    for added in names.added {
        let (addresses, added_names) = add_host(added, host_address)?;
        let _ = writeln!(text, "{addresses}\t{added_names}");
    }
    for (ip, names) in &facts.linked {
        let _ = writeln!(text, "{ip}\t{names}");
    }
    text.push_str(host);
    if !host.is_empty() && !host.ends_with('\n') {
        text.push('\n');
    }
    if !host.lines().any(|line| line.split_whitespace().skip(1).any(|name| name == "localhost")) {
        text.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost\n");
    }
    if let Some(address) = host_address {
        let _ = writeln!(text, "{address}\thost.containers.internal host.docker.internal");
    }
    if !facts.shares_host {
        let own = facts.container.first().copied();
        // pasta gives the container the host's own address.
        let copied = || (!facts.dns.is_empty()).then(|| preferred_address(Ipv4Addr::UNSPECIFIED.into())).flatten();
        let address = own.or_else(copied).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let own = names.own();
        if !own.is_empty() {
            let _ = writeln!(text, "{address}\t{own}");
            for more in facts.container.iter().skip(1).filter(|_| facts.bridged) {
                let _ = writeln!(text, "{more}\t{own}");
            }
        }
    }
    Ok(text)
}

/// The lines of a hosts file that say who the container is, for other addresses; everything else stays.
pub(crate) fn own_lines(text: &str, before: &[IpAddr], after: &[IpAddr], names: &HostNames<'_>) -> String {
    let own = names.own();
    let stale = |line: &&str| {
        let address = line.split_whitespace().next().and_then(|word| word.parse::<IpAddr>().ok());
        address.is_some_and(|ip| before.contains(&ip)) && line.split_once('\t').is_some_and(|(_, rest)| rest == own)
    };
    let mut lines: Vec<String> = text.lines().filter(|line| !stale(line)).map(str::to_owned).collect();
    lines.extend(after.iter().map(|ip| format!("{ip}\t{own}")));
    lines.push(String::new());
    lines.join("\n")
}

/// A hosts file in which `names`, a linked container's, have these addresses; `is_near` tells addresses that it may have had.
pub(crate) fn linked_lines(text: &str, names: &str, after: &[IpAddr], is_near: impl Fn(IpAddr) -> bool) -> String {
    let stale = |line: &str| {
        let (ip, rest) = line.split_once('\t').unwrap_or_default();
        rest == names && ip.parse().is_ok_and(&is_near)
    };
    // Where the lines were: earlier ones win.
    let place = text.lines().position(stale).unwrap_or(0);
    let mut lines: Vec<String> = text.lines().filter(|line| !stale(line)).map(str::to_owned).collect();
    lines.splice(place..place, after.iter().map(|ip| format!("{ip}\t{names}")));
    lines.push(String::new());
    lines.join("\n")
}

/// Whether a resolv.conf names one of these servers.
pub(crate) fn names_any(text: &str, servers: &[IpAddr]) -> bool {
    host_resolvers(text).iter().any(|server| servers.contains(server))
}

/// A resolv.conf with the name servers of other networks; everything else stays.
pub(crate) fn own_servers(text: &str, before: &[IpAddr], after: &[IpAddr]) -> String {
    let stale = |line: &&str| {
        let server = line.strip_prefix("nameserver ").and_then(|server| server.trim().parse::<IpAddr>().ok());
        server.is_some_and(|ip| before.contains(&ip))
    };
    let (search, rest): (Vec<&str>, Vec<&str>) =
        text.lines().filter(|line| !stale(line)).partition(|line| line.starts_with("search "));
    let servers = after.iter().filter(|ip| ip.is_ipv4() || after.iter().all(IpAddr::is_ipv6)).take(3);
    let servers = servers.map(|ip| format!("nameserver {ip}"));
    let lines: Vec<String> =
        search.into_iter().map(str::to_owned).chain(servers).chain(rest.into_iter().map(str::to_owned)).collect();
    lines.join("\n") + "\n"
}

/// `NAME[;NAME…]:ADDRESS`, the address possibly `host-gateway` or an IPv6 one in brackets.
fn add_host(value: &str, host_address: Option<IpAddr>) -> Result<(IpAddr, String)> {
    let invalid = |why: &str| {
        Error::new(format!("invalid --add-host {value:?}: {why}")).hint("Write NAME:ADDRESS or NAME:host-gateway")
    };
    let (names, address) = value.split_once([':', '=']).ok_or_else(|| invalid("no address"))?;
    let names: Vec<&str> = names.split(';').collect();
    let odd = |name: &&str| name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#');
    if names.iter().any(odd) {
        return Err(invalid("the name is missing or odd"));
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let address = match bare {
        "host-gateway" => {
            host_address.ok_or_else(|| invalid("the host has no address that the container could reach"))?
        }
        bare => bare.parse().map_err(|_| invalid("not an IP address"))?,
    };
    Ok((address, names.join(" ")))
}

/// The address from which the host reaches the rest of the world. Connecting a UDP socket sends nothing.
fn preferred_address(any: IpAddr) -> Option<IpAddr> {
    // Documentation addresses (RFC 5737, RFC 3849): routed like any other, never answered.
    let far: IpAddr = match any {
        IpAddr::V4(_) => Ipv4Addr::new(198, 51, 100, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((far, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slirp() -> Facts {
        Facts {
            container: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 2, 100))],
            dns: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 2, 3))],
            host: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2))),
            ..Facts::default()
        }
    }

    fn options(servers: &[&str], search: &[&str], options: &[&str]) -> DnsOptions {
        let own = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect();
        DnsOptions { servers: own(servers), search: own(search), options: own(options) }
    }

    #[test]
    fn resolv_conf_of_each_kind() {
        let host = "# made by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nsearch a.org b.org\noptions edns0 trust-ad\n";
        let shared = Facts { shares_host: true, ..Facts::default() };
        let none = options(&[], &[], &[]);
        for (facts, options, expected) in [
            (
                slirp(),
                none.clone(),
                "search a.org b.org\nnameserver 10.0.2.3\nnameserver 192.0.2.53\noptions edns0 trust-ad\n",
            ),
            (
                shared,
                none.clone(),
                "search a.org b.org\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\noptions edns0 trust-ad\n",
            ),
            (Facts::default(), none, "search a.org b.org\nnameserver 192.0.2.53\noptions edns0 trust-ad\n"),
            (
                slirp(),
                options(&["1.1.1.1", "::1"], &["."], &["ndots:3"]),
                "nameserver 1.1.1.1\nnameserver ::1\noptions ndots:3\n",
            ),
            (
                slirp(),
                options(&[], &["x.y", "z"], &[]),
                "search x.y z\nnameserver 10.0.2.3\nnameserver 192.0.2.53\noptions edns0 trust-ad\n",
            ),
        ] {
            assert_eq!(resolv_conf(host, &facts, &options).ok().flatten().as_deref(), Some(expected));
        }
        assert_eq!(resolv_conf(host, &slirp(), &options(&["none"], &[], &[])).ok(), Some(None));
        for bad in [options(&["none", "1.1.1.1"], &[], &[]), options(&["a.b"], &[], &[]), options(&[], &["a\nb"], &[])]
        {
            assert!(resolv_conf(host, &slirp(), &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hosts_of_each_kind() {
        let added = ["a.b;c:1.2.3.4".to_owned(), "gw:host-gateway".to_owned(), "six:[::5]".to_owned()];
        let names = HostNames { added: &added, hostname: "h1", name: "c1" };
        assert_eq!(
            hosts("127.0.0.1 localhost", &slirp(), &names).ok().as_deref(),
            Some(
                "1.2.3.4\ta.b c\n10.0.2.2\tgw\n::5\tsix\n127.0.0.1 localhost\n\
                 10.0.2.2\thost.containers.internal host.docker.internal\n10.0.2.100\th1 c1\n"
            )
        );
        assert_eq!(joined_hosts("10.1.0.2\tx\n", &names), "10.1.0.2\tx\n127.0.0.1\th1 c1\n");
        let same = HostNames { added: &[], hostname: "x", name: "x" };
        let none = hosts("", &Facts { host: slirp().host, ..Facts::default() }, &same).unwrap_or_default();
        assert!(
            none.starts_with("127.0.0.1\tlocalhost\n::1\tlocalhost\n") && none.ends_with("127.0.0.1\tx\n"),
            "{none}"
        );
        let shared = Facts { shares_host: true, host: slirp().host, ..Facts::default() };
        assert!(!hosts("127.0.0.1 localhost\n", &shared, &names).unwrap_or_default().contains("h1"));
        for bad in ["x", ":1.2.3.4", "x:", "x:y", "a b:1.1.1.1", "a\nb:1.1.1.1"] {
            assert!(add_host(bad, Some(IpAddr::V4(Ipv4Addr::LOCALHOST))).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_of_a_linked_container_change() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("parses");
        let near = |ip: IpAddr| ip.to_string().starts_with("10.1.");
        let text = "192.0.2.1\tdb\n10.1.0.2\tdb\n10.1.0.3\tother\n";
        for (after, expected) in [
            (&["10.1.0.9"][..], "192.0.2.1\tdb\n10.1.0.9\tdb\n10.1.0.3\tother\n"),
            (&[], "192.0.2.1\tdb\n10.1.0.3\tother\n"),
        ] {
            let after: Vec<_> = after.iter().map(|text| ip(text)).collect();
            assert_eq!(linked_lines(text, "db", &after, near), expected);
        }
        assert_eq!(linked_lines("", "db", &[ip("10.1.0.2")], near), "10.1.0.2\tdb\n");
    }

    #[test]
    fn addresses_of_a_running_container_change() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("parses");
        let names = HostNames { added: &[], hostname: "h1", name: "c1" };
        let text = "127.0.0.1\tlocalhost\n10.1.0.2\th1 c1\n10.1.0.2\tmine\n";
        assert_eq!(
            own_lines(text, &[ip("10.1.0.2")], &[ip("10.2.0.2"), ip("10.3.0.2")], &names),
            "127.0.0.1\tlocalhost\n10.1.0.2\tmine\n10.2.0.2\th1 c1\n10.3.0.2\th1 c1\n"
        );
        assert_eq!(
            own_servers(
                "search a\nnameserver 10.1.0.1\nnameserver 9.9.9.9\noptions x\n",
                &[ip("10.1.0.1")],
                &[ip("10.2.0.1")]
            ),
            "search a\nnameserver 10.2.0.1\nnameserver 9.9.9.9\noptions x\n"
        );
    }
}
