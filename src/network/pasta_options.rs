//! `--network pasta:…`: the comma-separated arguments of pasta(1) that make sense for a container.
//!
//! rpod says itself which namespace pasta joins, when it is ready and how it ends, so the options for these are refused,
//! like everything that pasta(1) does not document or that belongs to its virtual-machine twin passt.

use super::mode::PastaOptions;
use crate::error::{Error, Result};

/// An option of pasta(1): its names, and whether a value follows.
struct Known {
    short: Option<char>,
    long: &'static str,
    value: bool,
}

const fn flag(long: &'static str) -> Known {
    Known { short: None, long, value: false }
}

const fn value(short: Option<char>, long: &'static str) -> Known {
    Known { short, long, value: true }
}

const KNOWN: &[Known] = &[
    value(Some('m'), "mtu"),
    value(Some('a'), "address"),
    value(Some('n'), "netmask"),
    value(Some('M'), "mac-addr"),
    value(Some('g'), "gateway"),
    value(Some('i'), "interface"),
    value(Some('o'), "outbound"),
    value(None, "outbound-if4"),
    value(None, "outbound-if6"),
    value(Some('D'), "dns"),
    value(None, "dns-forward"),
    value(None, "dns-host"),
    value(Some('S'), "search"),
    value(Some('I'), "ns-ifname"),
    value(None, "ns-mac-addr"),
    value(Some('p'), "pcap"),
    value(Some('t'), "tcp-ports"),
    value(Some('u'), "udp-ports"),
    value(Some('T'), "tcp-ns"),
    value(Some('U'), "udp-ns"),
    value(None, "map-host-loopback"),
    value(None, "map-guest-addr"),
    value(Some('H'), "hostname"),
    value(None, "fqdn"),
    Known { short: Some('4'), long: "ipv4-only", value: false },
    Known { short: Some('6'), long: "ipv6-only", value: false },
    Known { short: Some('q'), long: "quiet", value: false },
    flag("config-net"),
    flag("dhcp-dns"),
    flag("no-dhcp-dns"),
    flag("dhcp-search"),
    flag("no-dhcp-search"),
    flag("no-tcp"),
    flag("no-udp"),
    flag("no-icmp"),
    flag("no-dhcp"),
    flag("no-ndp"),
    flag("no-dhcpv6"),
    flag("no-ra"),
    flag("no-map-gw"),
    flag("freebind"),
    flag("host-lo-to-ns-lo"),
    flag("no-copy-routes"),
    flag("no-copy-addrs"),
    flag("no-splice"),
];

/// What rpod decides itself.
const OURS: &[(&str, &str)] = &[
    ("f", "foreground"),
    ("P", "pid"),
    ("d", "debug"),
    ("", "trace"),
    ("e", "stderr"),
    ("l", "log-file"),
    ("", "log-size"),
    ("", "runas"),
    ("", "netns"),
    ("", "userns"),
    ("", "netns-only"),
    ("", "no-netns-quit"),
];

/// Checks the arguments and puts them into one canonical form: `--long` or `--long`, `value`.
pub(super) fn parse(text: &str) -> Result<PastaOptions> {
    let mut options = PastaOptions::default();
    if text.is_empty() {
        return Ok(options);
    }
    let mut words = text.split(',');
    while let Some(word) = words.next() {
        if word == "--map-gw" {
            options.map_gw = true;
            continue;
        }
        let refused = |why: String| {
            Error::new(format!("invalid network option pasta:{word}: {why}"))
                .hint("Options of pasta(1) follow separated by commas, for example pasta:--mtu,1500,-T,5432")
        };
        let (known, attached) = lookup(word).map_err(refused)?;
        options.args.push(format!("--{}", known.long));
        match (known.value, attached) {
            (false, None) => {}
            (false, Some(_)) => return Err(refused("this option takes no value".into())),
            (true, Some(value)) => options.args.push(value.to_owned()),
            (true, None) => match words.next() {
                Some(value) => options.args.push(value.to_owned()),
                None => return Err(refused("this option needs a value".into())),
            },
        }
    }
    Ok(options)
}

impl PastaOptions {
    /// Whether an option (long name) was given.
    pub(super) fn has(&self, long: &str) -> bool {
        self.args.iter().any(|arg| arg.strip_prefix("--") == Some(long))
    }

    /// The values given for an option (long name).
    pub(super) fn values<'a>(&'a self, long: &'a str) -> impl Iterator<Item = &'a str> {
        self.args.windows(2).filter(move |pair| pair[0].strip_prefix("--") == Some(long)).map(|pair| pair[1].as_str())
    }
}

fn lookup(word: &str) -> Result<(&'static Known, Option<&str>), String> {
    let (found, name, attached) = if let Some(long) = word.strip_prefix("--") {
        let (name, attached) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        (KNOWN.iter().find(|known| known.long == name), name, attached)
    } else {
        let name = word.strip_prefix('-').ok_or("an option begins with a dash")?;
        let mut letters = name.chars();
        let (letter, rest) = (letters.next().ok_or("an option begins with a dash")?, letters.as_str());
        let name = &name[..letter.len_utf8()];
        (KNOWN.iter().find(|known| known.short == Some(letter)), name, Some(rest).filter(|rest| !rest.is_empty()))
    };
    match found {
        Some(known) => Ok((known, attached)),
        None if OURS.iter().any(|(short, long)| *short == name || *long == name) => {
            Err("rpod decides this itself".into())
        }
        None => Err("pasta has no such option for containers".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        parse(text).map_or_else(
            |e| format!("ERR {e}"),
            |o| format!("{}{}", o.args.join(" "), if o.map_gw { " +gw" } else { "" }),
        )
    }

    #[test]
    fn arguments() {
        for (text, expected) in [
            ("", ""),
            ("--mtu,1500", "--mtu 1500"),
            ("--mtu=1500", "--mtu 1500"),
            ("-m,1500,-4", "--mtu 1500 --ipv4-only"),
            ("-m1500", "--mtu 1500"),
            ("-T,5432,-U,none,--map-gw", "--tcp-ns 5432 --udp-ns none +gw"),
            ("--dns-forward,169.254.1.1,--no-icmp", "--dns-forward 169.254.1.1 --no-icmp"),
            ("--search,", "--search "),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    #[test]
    fn refusals() {
        for (text, part) in [
            ("mtu=1500", "begins with a dash"),
            ("-", "begins with a dash"),
            ("--mtu", "needs a value"),
            ("--no-tcp=1", "takes no value"),
            ("-4x", "takes no value"),
            ("--netns,/proc/1/ns/net", "rpod decides this itself"),
            ("-P,/tmp/x", "rpod decides this itself"),
            ("--foreground", "rpod decides this itself"),
            ("--socket,/tmp/x", "no such option"),
            ("-F,3", "no such option"),
            ("--,x", "no such option"),
            ("é", "begins with a dash"),
            ("-é", "no such option"),
            (",", "begins with a dash"),
        ] {
            let shown = show(text);
            assert!(shown.starts_with("ERR") && shown.contains(part), "{text}: {shown}");
        }
    }

    #[test]
    fn values_are_found() {
        let options = parse("--dns-forward,1.1.1.1,-D,2.2.2.2,--dns-forward,::1").unwrap_or_default();
        assert_eq!(options.values("dns-forward").collect::<Vec<_>>(), ["1.1.1.1", "::1"]);
        assert!(options.has("dns") && !options.has("mtu"));
    }
}
