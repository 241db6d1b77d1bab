//! Which proxy leads to a host: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capitals or small letters, understood
//! as Go's net/http does, for sites write them for Docker and Podman. This machine is never asked for through a proxy. A setting
//! that cannot be used is an error where it would count: going past it would tell the network what is not for it.

use std::net::IpAddr;

use reqwest::Url;

use crate::error::{Error, Result};

#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    http: Option<Setting>,
    https: Option<Setting>,
    exceptions: Vec<Exception>,
}

/// A variable and its value, which may hold a password.
#[derive(Clone)]
struct Setting {
    name: &'static str,
    value: String,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What `NO_PROXY` names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    All,
    Address(IpAddr, Option<u16>),
    Network(IpAddr, u32),
    /// With the dot that it begins with, and whether the domain itself is meant too.
    Domain {
        suffix: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    pub(super) fn from_env() -> Self {
        let set = |name: &'static str| {
            let value = std::env::var(name).ok().map(|value| value.trim().to_owned());
            value.filter(|value| !value.is_empty()).map(|value| Setting { name, value })
        };
        // A CGI program's HTTP_PROXY is a header of whoever asks for a page.
        let for_http = if std::env::var_os("REQUEST_METHOD").is_some() { None } else { set("HTTP_PROXY") };
        let all = set("ALL_PROXY").or_else(|| set("all_proxy"));
        let list = set("NO_PROXY").or_else(|| set("no_proxy")).map(|setting| setting.value).unwrap_or_default();
        Self {
            http: for_http.or_else(|| set("http_proxy")).or_else(|| all.clone()),
            https: set("HTTPS_PROXY").or_else(|| set("https_proxy")).or(all),
            exceptions: list.split(',').filter_map(exception).collect(),
        }
    }

    /// The proxy for a URL; `None` for the direct way.
    pub(super) fn of(&self, url: &Url) -> Result<Option<Url>> {
        let setting = match url.scheme() {
            "https" => &self.https,
            "http" => &self.http,
            _ => &None,
        };
        let (Some(setting), Some(host)) = (setting, url.host_str()) else { return Ok(None) };
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return Ok(None);
        }
        let port = url.port_or_known_default();
        if self.exceptions.iter().any(|exception| exception.is_for(&host, address, port)) {
            return Ok(None);
        }
        setting.parse().map(Some)
    }
}

impl Setting {
    fn parse(&self) -> Result<Url> {
        let bad = |why: &str| {
            Error::new(format!("{} is no proxy that can be used: {why}", self.name))
                .hint("it is written as http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT")
        };
        let is_url = self.value.contains("://");
        let text = if is_url { self.value.clone() } else { format!("http://{}", self.value) };
        let url = Url::parse(&text).map_err(|e| bad(&e.to_string()))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("it names no host"));
        }
        match url.scheme() {
            "http" | "https" | "socks5h" => Ok(url),
            // Go lets the proxy look names up under either name; here they may not be known at all.
            "socks5" => {
                let (_, rest) = text.split_once("://").unwrap_or_default();
                Url::parse(&format!("socks5h://{rest}")).map_err(|e| bad(&e.to_string()))
            }
            other => Err(bad(&format!("its scheme is {other:?}"))),
        }
    }
}

/// An entry of `NO_PROXY`; `None` for an empty one.
fn exception(text: &str) -> Option<Exception> {
    let text = text.trim().to_ascii_lowercase();
    if text == "*" {
        return Some(Exception::All);
    }
    if let Some((address, length)) = text.split_once('/') {
        let address: IpAddr = address.parse().ok()?;
        let length = length.parse().ok().filter(|length| *length <= if address.is_ipv4() { 32 } else { 128 })?;
        return Some(Exception::Network(address, length));
    }
    let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    if let Some(address) = bare(&text) {
        return Some(Exception::Address(address, None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (text.as_str(), None),
    };
    if let Some(address) = bare(host) {
        return Some(Exception::Address(address, port));
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host).trim_end_matches('.');
    if host.is_empty() {
        return None;
    }
    let itself = !host.starts_with('.');
    let suffix = if itself { format!(".{host}") } else { host.to_owned() };
    Some(Exception::Domain { suffix, itself, port })
}

impl Exception {
    fn is_for(&self, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
        let fits = |wanted: &Option<u16>| wanted.is_none() || *wanted == port;
        match self {
            Self::All => true,
            Self::Address(own, wanted) => address == Some(*own) && fits(wanted),
            Self::Network(own, length) => address.is_some_and(|address| same_network(*own, address, *length)),
            Self::Domain { suffix, itself, port: wanted } => {
                fits(wanted) && (host.ends_with(suffix.as_str()) || *itself && host == &suffix[1..])
            }
        }
    }
}

fn same_network(one: IpAddr, other: IpAddr, length: u32) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (one.to_bits() ^ other.to_bits()).checked_shr(32 - length).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            (one.to_bits() ^ other.to_bits()).checked_shr(128 - length).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(list: &str, url: &str) -> bool {
        let setting = |value: &str| Some(Setting { name: "HTTPS_PROXY", value: value.to_owned() });
        let proxies = Proxies {
            http: None,
            https: setting("proxy.example:3128"),
            exceptions: list.split(',').filter_map(exception).collect(),
        };
        proxies.of(&Url::parse(url).expect("a URL")).expect("a proxy").is_some()
    }

    #[test]
    fn exceptions_as_in_go() {
        for (list, url, expected) in [
            ("", "https://reg.example/", true),
            ("", "http://reg.example/", false),
            ("", "https://localhost:5000/", false),
            ("", "https://127.8.0.1/", false),
            ("", "https://[::1]:5000/", false),
            ("*", "https://reg.example/", false),
            ("reg.example", "https://a.reg.example/", false),
            (" reg.example ,x", "https://REG.example/", false),
            (".reg.example", "https://reg.example/", true),
            ("*.reg.example", "https://a.reg.example/", false),
            ("reg.example", "https://areg.example/", true),
            ("reg.example:5000", "https://reg.example:5000/", false),
            ("reg.example:5000", "https://reg.example/", true),
            ("reg.example:443", "https://reg.example/", false),
            ("10.0.0.0/8", "https://10.1.2.3/", false),
            ("10.0.0.0/8", "https://11.1.2.3/", true),
            ("0.0.0.0/0", "https://11.1.2.3/", false),
            ("10.1.2.3:5000", "https://10.1.2.3:5000/", false),
            ("10.1.2.3:5000", "https://10.1.2.3/", true),
            ("fd00::/8,[fe80::1]:5", "https://[fd00::1]/", false),
            ("[fd00::1]:5000", "https://[fd00::1]:5000/", false),
        ] {
            assert_eq!(through(list, url), expected, "{list} {url}");
        }
    }

    #[test]
    fn settings() {
        let parse = |value: &str| Setting { name: "X", value: value.to_owned() }.parse().map(|url| url.to_string());
        for (value, url) in [
            ("proxy:3128", "http://proxy:3128/"),
            ("https://u:p@proxy", "https://u:p@proxy/"),
            ("socks5://127.0.0.1:1080", "socks5h://127.0.0.1:1080"),
            ("socks5h://proxy:1", "socks5h://proxy:1"),
        ] {
            assert_eq!(parse(value).ok().as_deref(), Some(url), "{value}");
        }
        for bad in ["ftp://proxy:1", "garbage:::", "http://", "socks4://proxy:1", "socks5://", "://x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
