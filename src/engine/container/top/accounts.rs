//! Ids of processes → ids and names in the container, and names on the host.

use std::collections::BTreeMap;

use crate::engine::container::record::Config;
use crate::error::Result;
use crate::spec::user;
use crate::storage::LayerView;

/// Largest passwd or group file that is read.
const FILE_LIMIT: u64 = 4 << 20;

/// The names in the container's passwd and group files and in the host's.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
    host_users: BTreeMap<u32, String>,
    host_groups: BTreeMap<u32, String>,
}

impl Accounts {
    /// Of the container's files as they are now: its layer's own come first.
    pub(super) fn read(config: &Config) -> Result<Self> {
        let view = LayerView::new(&config.rootfs.directories())?;
        // A name is a convenience; a file that cannot be read (a directory in its place, say) leaves the number.
        let inside = |path| view.read_file(path, FILE_LIMIT).ok().flatten().unwrap_or_default();
        let outside = |path| std::fs::read(path).unwrap_or_default();
        Ok(Self {
            users: names(&inside("etc/passwd")),
            groups: names(&inside("etc/group")),
            host_users: names(&outside("/etc/passwd")),
            host_groups: names(&outside("/etc/group")),
        })
    }

    pub(super) fn user(&self, uid: u32) -> String {
        name(&self.users, uid)
    }

    pub(super) fn group(&self, gid: u32) -> String {
        name(&self.groups, gid)
    }

    pub(super) fn host_user(&self, uid: u32) -> String {
        name(&self.host_users, uid)
    }

    pub(super) fn host_group(&self, gid: u32) -> String {
        name(&self.host_groups, gid)
    }
}

fn names(file: &[u8]) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for (id, name) in user::names(&String::from_utf8_lossy(file)) {
        // Of several names the first counts, as for the C library.
        names.entry(id).or_insert_with(|| name.to_owned());
    }
    names
}

fn name(names: &BTreeMap<u32, String>, id: u32) -> String {
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}
