//! Owners as the container sees them, when its ids are not where the store has them (`--userns keep-id` and the like).

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use crate::userns::{IdMaps, IdRange};

/// From the ids of this process's namespace to those of a container's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Ids(Option<Box<(IdMaps, IdMaps)>>);

impl Ids {
    /// Of a container with the map `container`, for a process in a namespace with the map `here`.
    pub(crate) fn new(here: &IdMaps, container: Option<&IdMaps>) -> Self {
        let other = container.filter(|container| container.uids != here.uids || container.gids != here.gids);
        Self(other.map(|container| Box::new((here.clone(), container.clone()))))
    }

    /// Whether all ids stay as they are.
    pub(super) fn same(&self) -> bool {
        self.0.is_none()
    }

    /// What has no id in the container belongs to its root.
    pub(super) fn translate(&self, mut stat: Stat) -> Stat {
        if let Some(maps) = &self.0 {
            let (here, container) = &**maps;
            stat.st_uid = here.host_uid(stat.st_uid).and_then(|id| inside(&container.uids, id)).unwrap_or(0);
            stat.st_gid = here.host_gid(stat.st_gid).and_then(|id| inside(&container.gids, id)).unwrap_or(0);
        }
        stat
    }
}

fn inside(ranges: &[IdRange], host: u32) -> Option<u32> {
    ranges.iter().find(|r| host >= r.host && host - r.host < r.size).map(|r| r.container + (host - r.host))
}
