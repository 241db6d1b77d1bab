//! `rpod network create`.

use super::Context;
use crate::cli::network::Create;
use crate::engine::container::options::values;
use crate::engine::network::create;
use crate::error::Result;
use crate::network::bridge::define::Wanted;

pub(crate) fn run(args: Create, context: &Context<'_>) -> Result<u8> {
    let wanted = Wanted {
        name: args.name.filter(|name| !name.is_empty()),
        driver: args.driver,
        subnets: args.subnet,
        gateways: args.gateway,
        ranges: args.ip_range,
        routes: args.route,
        dns: args.dns,
        interface: args.interface_name,
        ipam_driver: args.ipam_driver,
        internal: args.internal,
        ipv6: args.ipv6,
        disable_dns: args.disable_dns,
        labels: values::labels(&args.label, &[])?,
        options: args.opt,
        egress: args.egress,
    };
    let network = create::create(context.dirs()?, &wanted, args.ignore)?;
    context.ui.line(&network.name)?;
    Ok(0)
}
