//! The container's hostname, hosts, resolv.conf and .containerenv.

use std::net::IpAddr;
use std::path::Path;

use super::record::{NameFiles, Record};
use crate::error::{Context, Result};
use crate::network::files::{self, DnsOptions, HostNames};
use crate::network::helper::Facts;
use crate::network::keeper::order::Address;
use crate::state::file::{self, Durability};

/// Writes the files to the record directory. They are bind mounts of the container's: replaced at a start, never while
/// it runs. `shared` is the record directory of the container whose network this one has: what that one calls things, this one does.
pub(crate) fn write(
    dir: &Path,
    record: &Record,
    names: &NameFiles,
    facts: &Facts,
    shared: Option<&Path>,
) -> Result<()> {
    let other = |name: &str| shared.and_then(|shared| std::fs::read(shared.join(name)).ok());
    let put = |name: &str, text: &str| file::write(&dir.join(name), text.as_bytes(), Durability::Volatile);
    put("hostname", &format!("{}\n", names.hostname))?;
    put(".containerenv", "")?;
    let wanted = HostNames { added: &names.added, hostname: &names.hostname, name: &record.name };
    if let Some(hosts) = other("hosts").filter(|_| !names.no_hosts) {
        put("hosts", &files::joined_hosts(&String::from_utf8_lossy(&hosts), &wanted))?;
    } else if !names.no_hosts {
        let base = match (&names.hosts_text, &names.hosts_file) {
            (Some(text), _) => text.clone(),
            (None, file) => text(file.as_deref().unwrap_or(Path::new("/etc/hosts"))),
        };
        put("hosts", &files::hosts(&base, facts, &wanted)?)?;
    }
    let plain = names.dns.is_empty() && names.search.is_empty() && names.options.is_empty();
    if let Some(resolv) = other("resolv.conf").filter(|_| !names.unmanaged_dns && plain) {
        file::write(&dir.join("resolv.conf"), &resolv, Durability::Volatile)?;
    } else if !names.unmanaged_dns {
        // Where containers' names are known, the name service asks the servers that were given.
        let served = facts.bridged && facts.domain.is_some();
        let servers = if served { Vec::new() } else { names.dns.clone() };
        let options = DnsOptions { servers, search: names.search.clone(), options: names.options.clone() };
        if let Some(content) = files::resolv_conf(&text(Path::new("/etc/resolv.conf")), facts, &options)? {
            put("resolv.conf", &content)?;
        }
    }
    Ok(())
}

/// A running container has other addresses now. Its files stay the same inodes, which it has mounted, and keep what it
/// wrote into them itself.
pub(crate) fn readdress(
    dir: &Path,
    record: &Record,
    names: &NameFiles,
    before: &[Address],
    after: &[Address],
) -> Result<()> {
    let gateways = |addresses: &[Address]| addresses.iter().filter_map(|address| address.gateway).collect::<Vec<_>>();
    if !names.no_hosts {
        let own = HostNames { added: &[], hostname: &names.hostname, name: &record.name };
        let ips = |addresses: &[Address]| addresses.iter().map(|address| address.ip).collect::<Vec<_>>();
        edit(&dir.join("hosts"), |text| files::own_lines(text, &ips(before), &ips(after), &own))?;
    }
    if !names.unmanaged_dns {
        let before = gateways(before);
        edit(&dir.join("resolv.conf"), |text| match names.dns.is_empty() || files::names_any(text, &before) {
            true => files::own_servers(text, &before, &gateways(after)),
            false => text.to_owned(),
        })?;
    }
    Ok(())
}

/// What a running container knows by `names` has other addresses now; `is_near` tells those it may have had.
pub(crate) fn relink(dir: &Path, names: &str, after: &[IpAddr], is_near: impl Fn(IpAddr) -> bool) -> Result<()> {
    edit(&dir.join("hosts"), |text| files::linked_lines(text, names, after, is_near))
}

/// Writes in place. A reader may see the file half written, as it may with any editor that keeps the inode.
fn edit(path: &Path, change: impl FnOnce(&str) -> String) -> Result<()> {
    let what = || format!("cannot change {}", path.display());
    let old = std::fs::read_to_string(path).context(what)?;
    let new = change(&old);
    if new == old { Ok(()) } else { std::fs::write(path, new).context(what) }
}

/// A host without the file has nothing to say.
fn text(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
