//! What containers of a network are connected with: the drivers of `network create` beside bridge, and their options.
//!
//! Every network here is a segment with a bridge of the netkeeper, which has the gateway's address, name service and the
//! way out. macvlan and ipvlan connect to it through one interface that all their containers' interfaces hang on, as they
//! would hang on a network card. `parent` says on which segment that is:
//!
//! | parent | |
//! |---|---|
//! | none, `uplink` | a segment of the network's own, routed to the netkeeper's uplink |
//! | `dummy…` | a segment of its own without a way out |
//! | a bridge network, or its interface | that network's segment: its addresses, its gateway |
//! | an interface of the host | needs root: refused |

use super::object::{BRIDGE, Network};
use crate::error::{Error, Result};

/// Kinds of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    Bridge,
    Macvlan,
    Ipvlan,
    /// A bridge on every host, and one segment over all of them.
    Overlay,
}

/// How a container's interface is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Attachment {
    /// An end of a cable whose other end is in the bridge.
    Cable,
    Macvlan(MacvlanMode),
    /// In mode l2.
    Ipvlan,
}

/// Whom interfaces on one parent reach (linux/if_link.h, `macvlan_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MacvlanMode {
    Private = 1,
    Vepa = 2,
    Bridge = 4,
    Passthru = 8,
}

/// The segment that a network is on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Segment<'a> {
    Own,
    /// Without a way out.
    CutOff,
    Of(&'a Network),
}

impl Driver {
    pub(crate) fn parse(name: &str) -> Result<Self> {
        match name {
            "" | BRIDGE => Ok(Self::Bridge),
            "macvlan" => Ok(Self::Macvlan),
            "ipvlan" => Ok(Self::Ipvlan),
            "overlay" => Ok(Self::Overlay),
            other => Err(Error::new(format!("failed to find driver or plugin {other:?}"))),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => BRIDGE,
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Overlay => "overlay",
        }
    }

    /// The key under which an option is kept; `None` when this driver has no such option. Both Podman's and Docker's names.
    pub(crate) fn option(self, key: &str, value: &str) -> Result<Option<&'static str>> {
        let refuse = |why: &str| Err(Error::new(format!("{key}={value} is not supported here: {why}")));
        match (self, key) {
            (Self::Macvlan | Self::Ipvlan, "parent") => Ok(Some("parent")),
            (Self::Macvlan, "mode" | "macvlan_mode") => {
                macvlan_mode(value)?;
                Ok(Some("mode"))
            }
            (Self::Ipvlan, "mode" | "ipvlan_mode") => match value {
                "l2" => Ok(Some("mode")),
                "l3" | "l3s" => refuse("packets would be routed past the network's bridge; use mode=l2"),
                _ => Err(Error::new(format!("unknown ipvlan mode {value:?}")).hint("the modes are l2, l3 and l3s")),
            },
            (Self::Ipvlan, "ipvlan_flag") => match value {
                "bridge" => Ok(Some("ipvlan_flag")),
                "private" | "vepa" => refuse("containers of a network reach each other"),
                _ => Err(Error::new(format!("unknown ipvlan_flag {value:?}"))),
            },
            _ => Ok(None),
        }
    }
}

fn macvlan_mode(text: &str) -> Result<MacvlanMode> {
    match text {
        "private" => Ok(MacvlanMode::Private),
        "vepa" => Ok(MacvlanMode::Vepa),
        "bridge" => Ok(MacvlanMode::Bridge),
        "passthru" => Ok(MacvlanMode::Passthru),
        _ => Err(Error::new(format!("unknown macvlan mode {text:?}"))
            .hint("the modes are bridge, private, vepa and passthru")),
    }
}

/// How containers of a stored network are connected.
pub(crate) fn attachment(network: &Network) -> Attachment {
    match network.driver.as_str() {
        "macvlan" => {
            let mode = network.options.get("mode").and_then(|mode| macvlan_mode(mode).ok());
            Attachment::Macvlan(mode.unwrap_or(MacvlanMode::Bridge))
        }
        "ipvlan" => Attachment::Ipvlan,
        _ => Attachment::Cable,
    }
}

/// The segment that `parent` names.
pub(crate) fn segment<'a>(
    driver: Driver,
    parent: Option<&str>,
    networks: &'a [Network],
    host: &[String],
) -> Result<Segment<'a>> {
    let parent = match parent {
        None | Some("" | "uplink") => return Ok(Segment::Own),
        Some(parent) => parent,
    };
    let named = |network: &&Network| network.name == parent || network.network_interface == parent;
    let mut named = networks.iter().filter(named);
    // Networks that share a segment have its interface's name too; the one that has the segment is a bridge.
    if let Some(network) = named.clone().find(|network| network.driver == BRIDGE).or_else(|| named.next()) {
        return Ok(Segment::Of(network));
    }
    if parent.starts_with("dummy") {
        return Ok(Segment::CutOff);
    }
    let kind = driver.as_str();
    let known = "leave parent out for a network of its own, or name a bridge network: rpod network ls";
    if host.iter().any(|interface| interface == parent) {
        return Err(Error::new(format!(
            "cannot create a {kind} network on {parent}: a sub-interface of the host's needs root"
        ))
        .hint(known));
    }
    Err(Error::new(format!("parent interface {parent} does not exist")).hint(known))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn options_and_parents() {
        for (driver, key, value, expected) in [
            (Driver::Macvlan, "mode", "private", "Some(\"mode\")"),
            (Driver::Macvlan, "macvlan_mode", "passthru", "Some(\"mode\")"),
            (Driver::Macvlan, "mode", "l2", "ERR unknown macvlan mode \"l2\""),
            (Driver::Macvlan, "ipvlan_mode", "l2", "None"),
            (Driver::Ipvlan, "mode", "l2", "Some(\"mode\")"),
            (
                Driver::Ipvlan,
                "mode",
                "l3",
                "ERR mode=l3 is not supported here: packets would be routed past the network's bridge; use mode=l2",
            ),
            (Driver::Bridge, "parent", "eth0", "None"),
        ] {
            let shown = driver.option(key, value).map_or_else(|e| format!("ERR {e}"), |key| format!("{key:?}"));
            assert_eq!(shown, expected, "{key}={value}");
        }
        let networks = [Network::standard(Timestamp::UNIX_EPOCH)];
        let host = ["eth0".to_owned()];
        for (parent, expected) in [
            (None, "Own"),
            (Some("uplink"), "Own"),
            (Some("dummy0"), "CutOff"),
            (Some("podman"), "podman"),
            (Some("podman0"), "podman"),
            (Some("eth0"), "ERR cannot create a macvlan network on eth0: a sub-interface of the host's needs root"),
            (Some("eth9"), "ERR parent interface eth9 does not exist"),
        ] {
            let shown = match segment(Driver::Macvlan, parent, &networks, &host) {
                Ok(Segment::Of(network)) => network.name.clone(),
                Ok(other) => format!("{other:?}"),
                Err(e) => format!("ERR {e}"),
            };
            assert_eq!(shown, expected, "{parent:?}");
        }
    }
}
