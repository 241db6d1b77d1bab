//! `rpod network connect`, `rpod network disconnect`, `rpod network reload`.

use super::Context;
use super::each::each;
use crate::cli::network::{Connect, Disconnect, Reload};
use crate::engine::container::select::Selection;
use crate::engine::container::store;
use crate::engine::events;
use crate::engine::network::connect;
use crate::error::Result;
use crate::network::bridge::endpoint::{self, Endpoint};

pub(crate) fn connect(args: Connect, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let mut endpoint = Endpoint::on(&args.network);
    if let Some(ip) = &args.ip {
        endpoint.set_ip(ip)?;
    }
    if let Some(ip) = &args.ip6 {
        endpoint.set_ip6(ip)?;
    }
    endpoint.mac = args.mac_address.as_deref().map(endpoint::mac).transpose()?;
    endpoint.aliases = args.alias.iter().map(|alias| endpoint::alias(alias)).collect::<Result<_>>()?;
    let container = store::find(dirs, &args.container)?;
    connect::connect(dirs, &container, &endpoint)?;
    events::connection(dirs, "connect", &container.record, &args.network);
    Ok(0)
}

pub(crate) fn disconnect(args: Disconnect, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let container = store::find(dirs, &args.container)?;
    connect::disconnect(dirs, &container, &args.network, args.force)?;
    events::connection(dirs, "disconnect", &container.record, &args.network);
    Ok(0)
}

pub(crate) fn reload(args: Reload, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let selection = Selection { names: &args.containers, all: args.all, latest: args.latest, ..Selection::default() };
    let containers = selection.resolve(dirs, "you must provide at least one name or id")?;
    each(context, &containers, |(_, container)| match connect::reload(dirs, container)? {
        true => context.ui.line(container.id()),
        false => Ok(()),
    })
}
