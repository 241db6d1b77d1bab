//! `--network` and the flags that belong to it → the mode.

use crate::cli::run::Network;
use crate::engine::container::record::Link;
use crate::error::{Error, Result};
use crate::network::bridge::endpoint::{self, Endpoint};
use crate::network::bridge::object::DEFAULT;
use crate::network::mode::{self, Mode};
use crate::state::names;

/// The mode with addresses and aliases.
pub(super) fn mode(network: &Network) -> Result<Mode> {
    let mut mode = match network.network.is_empty() && !network.link.is_empty() {
        // Docker's default network, the one that links were made for.
        true => Mode::Bridge(vec![Endpoint::on(DEFAULT)]),
        false => mode::parse_all(&network.network)?,
    };
    let single = network.ip.is_some() || network.ip6.is_some() || network.mac_address.is_some();
    if !single && network.network_alias.is_empty() {
        return Ok(mode);
    }
    let Mode::Bridge(endpoints) = &mut mode else {
        return Err(Error::new("--ip, --ip6, --mac-address and --network-alias need a bridge network")
            .hint("add --network NAME, or --network bridge for the default one"));
    };
    if single && endpoints.len() > 1 {
        return Err(Error::new("--ip, --ip6 and --mac-address can be set for one network only")
            .hint("write --network NAME:ip=ADDRESS,mac=ADDRESS"));
    }
    for endpoint in endpoints {
        if let Some(ip) = &network.ip {
            endpoint.set_ip(ip)?;
        }
        if let Some(ip) = &network.ip6 {
            endpoint.set_ip6(ip)?;
        }
        if let Some(mac) = &network.mac_address {
            endpoint.mac = Some(endpoint::mac(mac)?);
        }
        for alias in &network.network_alias {
            endpoint.aliases.push(endpoint::alias(alias)?);
        }
    }
    Ok(mode)
}

/// `NAME[:ALIAS]`.
pub(super) fn link(text: &str) -> Result<Link> {
    let (container, alias) = text.split_once(':').unwrap_or((text, text));
    let invalid = |e| Error::wrap(format!("invalid --link {text:?}"), e);
    names::check(container).map_err(invalid)?;
    let alias = endpoint::alias(alias).map_err(invalid)?;
    Ok(Link { container: container.to_owned(), alias })
}
