//! `--link`: the containers that one knows by other names, in its /etc/hosts and to its name service.
//!
//! A link needs its target to run when the container starts. When the target starts anew or changes its networks, whoever
//! has a link to it and runs is told its new addresses: name service by the netkeeper, /etc/hosts by whoever made the change.

use std::net::IpAddr;

use super::namefiles;
use super::record::{Config, Link};
use super::store::{self, Container};
use crate::error::{Error, Kind, Result};
use crate::network::bridge::endpoint::Endpoint;
use crate::network::keeper::order::{Join, Order};
use crate::network::mode::Mode;
use crate::state::paths::Dirs;

/// What a container's links lead to.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// A name, and the id of the container it stands for.
    pub targets: Vec<(String, String)>,
    /// Lines for /etc/hosts.
    pub hosts: Vec<(IpAddr, String)>,
}

/// Finds the targets of a container that is to be on these networks.
///
/// # Errors
/// When one does not run, or is on none of the networks.
pub(super) fn find(dirs: &Dirs, config: &Config, endpoints: &[Endpoint]) -> Result<Links> {
    let mut links = Links::default();
    for link in &config.links {
        let what = || format!("cannot link to container {}", link.container);
        let target = store::find(dirs, &link.container).map_err(|e| Error::wrap(what(), e))?;
        if !target.state(dirs)?.status.has_processes() {
            return Err(Error::new(format!("{}: it does not run", what()))
                .with_kind(Kind::Conflict)
                .hint(format!("start it first: rpod start {}", link.container)));
        }
        let joins = Order::load(&target.place.runtime)?.map(|order| order.joins).unwrap_or_default();
        let is_common = |join: &Join| endpoints.iter().any(|own| own.network == join.network.name);
        let addresses = addresses(&joins, is_common);
        if !joins.iter().any(is_common) {
            return Err(apart(link, &target, endpoints)?);
        }
        let names = line(&link.alias, &target.record.name);
        links.hosts.extend(addresses.into_iter().map(|ip| (ip, names.clone())));
        links.targets.push((link.alias.clone(), target.record.id));
    }
    Ok(links)
}

/// Writes a container's addresses into the hosts files of the running containers that have a link to it.
pub(crate) fn readdress(dirs: &Dirs, target: &Container, joins: &[Join], linkers: &[String]) {
    for linker in linkers {
        // One that has just ended reads no file; name service is right in any case.
        let _ = tell(dirs, target, joins, linker);
    }
}

fn tell(dirs: &Dirs, target: &Container, joins: &[Join], linker: &str) -> Result<()> {
    let linker = store::find(dirs, linker)?;
    let Some(order) = Order::load(&linker.place.runtime)? else { return Ok(()) };
    if linker.config()?.names.no_hosts {
        return Ok(());
    }
    let is_common = |join: &Join| order.joins.iter().any(|own| own.network.name == join.network.name);
    let addresses = addresses(joins, is_common);
    let is_near = |ip: IpAddr| order.joins.iter().flat_map(|join| &join.network.subnets).any(|r| r.subnet.contains(ip));
    for (alias, _) in order.links.iter().filter(|(_, id)| id == target.id()) {
        namefiles::relink(&linker.place.record, &line(alias, &target.record.name), &addresses, is_near)?;
    }
    Ok(())
}

fn addresses(joins: &[Join], is_common: impl Fn(&Join) -> bool) -> Vec<IpAddr> {
    joins.iter().filter(|join| is_common(join)).flat_map(Join::addresses).map(|address| address.ip).collect()
}

/// The names in a line of /etc/hosts.
fn line(alias: &str, name: &str) -> String {
    if alias == name { name.to_owned() } else { format!("{alias} {name}") }
}

/// The target is on other networks, or on none that containers share.
fn apart(link: &Link, target: &Container, endpoints: &[Endpoint]) -> Result<Error> {
    let name = &link.container;
    let error = Error::new(format!("cannot link to container {name}: it is on none of these networks"))
        .with_kind(Kind::Conflict);
    Ok(match (target.config()?.network, target.record.networks.first(), endpoints.first()) {
        (Mode::Bridge(_), Some(other), Some(own)) => error
            .hint(format!("rpod network connect {} {name}", own.network))
            .hint(format!("or start the new container there: --network {other}")),
        (Mode::Bridge(_), ..) => error.hint(format!("rpod network connect NETWORK {name}")),
        (mode, ..) => error.hint(format!(
            "its network ({mode}) is its own alone; run it with --network bridge, then it can be linked to"
        )),
    })
}
