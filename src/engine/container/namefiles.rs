//! The container's hostname, hosts, resolv.conf and .containerenv.

use std::path::Path;

use super::record::{NameFiles, Record};
use crate::error::Result;
use crate::network::files::{self, DnsOptions, HostNames};
use crate::network::helper::Facts;
use crate::state::file::{self, Durability};

/// Writes the files to the record directory. They are bind mounts of the container's: replaced at a start, never while
/// it runs.
pub(super) fn write(dir: &Path, record: &Record, names: &NameFiles, facts: &Facts) -> Result<()> {
    let put = |name: &str, text: &str| file::write(&dir.join(name), text.as_bytes(), Durability::Volatile);
    put("hostname", &format!("{}\n", names.hostname))?;
    put(".containerenv", "")?;
    if !names.no_hosts {
        let wanted = HostNames { added: &names.added, hostname: &names.hostname, name: &record.name };
        let base = match (&names.hosts_text, &names.hosts_file) {
            (Some(text), _) => text.clone(),
            (None, file) => text(file.as_deref().unwrap_or(Path::new("/etc/hosts"))),
        };
        put("hosts", &files::hosts(&base, facts, &wanted)?)?;
    }
    if !names.unmanaged_dns {
        let options =
            DnsOptions { servers: names.dns.clone(), search: names.search.clone(), options: names.options.clone() };
        if let Some(content) = files::resolv_conf(&text(Path::new("/etc/resolv.conf")), facts, &options)? {
            put("resolv.conf", &content)?;
        }
    }
    Ok(())
}

/// A host without the file has nothing to say.
fn text(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
