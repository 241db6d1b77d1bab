//! `rpod network ls`.

use serde_json::{Value, json};

use super::Context;
use crate::cli::network::Ls;
use crate::engine::network::filter::Filters;
use crate::engine::network::{store, users};
use crate::error::{Context as _, Result};
use crate::network::bridge::object::Network;
use crate::output::listing::{Column, Listing};
use crate::state::id::short;

const COLUMNS: &[Column] = &[Column("ID", "NETWORK ID"), Column("Name", "NAME"), Column("Driver", "DRIVER")];

pub(crate) fn run(args: Ls, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let filters = Filters::parse(&args.filter)?;
    let used = if filters.ask_for_use() { users::used(dirs)? } else { Default::default() };
    let (mut networks, damaged) = store::list_all(dirs)?;
    for error in damaged {
        context.ui.warn(error.hints().iter().fold(error.to_string(), |text, hint| format!("{text} ({hint})")));
    }
    networks.retain(|network| filters.matches(network, &used));
    let rows: Vec<Value> = networks.iter().map(|network| row(network, args.no_trunc)).collect();
    let listing = Listing {
        name: "network ls",
        columns: COLUMNS,
        other_headings: &[],
        format: args.format.as_deref(),
        noheading: args.noheading,
        quiet: args.quiet.then_some("Name"),
    };
    listing.print(context.ui, &rows, || {
        serde_json::to_value(&networks).context(|| "cannot encode the networks as JSON")
    })?;
    Ok(0)
}

/// The names that Podman's templates use.
fn row(network: &Network, no_trunc: bool) -> Value {
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    };
    json!({
        "ID": if no_trunc { network.id.as_str() } else { short(&network.id) },
        "Name": network.name,
        "Driver": network.driver,
        "NetworkInterface": network.network_interface,
        "Created": network.created.to_string(),
        "Subnets": network.subnets,
        "Routes": network.routes,
        "IPv6Enabled": network.ipv6_enabled,
        "Internal": network.internal,
        "DNSEnabled": network.dns_enabled,
        "NetworkDNSServers": network.network_dns_servers,
        "Labels": pairs(&network.labels),
        "Options": network.options,
        "IPAMOptions": network.ipam_options,
    })
}
