//! Subordinate id ranges, id maps, and entering user namespaces.
//!
//! ```text
//! choice   what --userns and --uidmap mean: the ids of one container out of those
//! subid    which ids the user may map besides their own: /etc/subuid, /etc/subgid, getsubids
//! mapping  gives a process in a new user namespace its map: newuidmap and newgidmap side by side, or the files directly
//! shift    how ids on disk, written through the whole map, become those of a container with another one
//! owner    numbers from outside as owners of files
//! enter    runs a closure of ours in a forked child inside a mapped user namespace (unpacking, removing mapped files)
//! ```

pub(crate) mod choice;
pub(crate) mod enter;
pub(crate) mod mapping;
pub(crate) mod owner;
pub(crate) mod shift;
mod subid;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
pub(crate) use subid::user_name;

/// `size` ids from `container` on inside the namespace are those from `host` on outside (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdRange {
    pub container: u32,
    pub host: u32,
    pub size: u32,
}

/// The user and group ids of a user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdMaps {
    pub uids: Vec<IdRange>,
    pub gids: Vec<IdRange>,
    /// Why there is only one id, for the line that tells the person.
    #[serde(skip)]
    pub single: Option<SingleReason>,
}

/// Why a user gets a single-id map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SingleReason {
    /// Neither /etc/subuid nor getsubids has a range for the user.
    MissingRange { file: &'static str },
    /// A range is there, but not the program that may map it.
    MissingProgram { program: &'static str },
    /// The process may not gain privileges, so newuidmap cannot work (prctl(2), PR_SET_NO_NEW_PRIVS).
    NoNewPrivileges,
}

impl IdMaps {
    /// Everything that this user may map: container id 0 is the user, 1 and up are the subordinate ranges.
    /// Root maps every id it has to itself.
    pub(crate) fn for_user() -> Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        if mapping::may_map_all() {
            return Ok(Self {
                uids: identity("/proc/self/uid_map")?,
                gids: identity("/proc/self/gid_map")?,
                single: None,
            });
        }
        let reason = match subid::ranges(uid)? {
            _ if rustix::thread::no_new_privs().unwrap_or(false) => SingleReason::NoNewPrivileges,
            subid::Ranges { uids, .. } if uids.is_empty() => SingleReason::MissingRange { file: subid::SUBUID },
            subid::Ranges { gids, .. } if gids.is_empty() => SingleReason::MissingRange { file: subid::SUBGID },
            subid::Ranges { uids, gids } => match mapping::missing_program() {
                Some(program) => SingleReason::MissingProgram { program },
                None => return Ok(Self { uids: stack(uid, &uids), gids: stack(gid, &gids), single: None }),
            },
        };
        Ok(Self { single: Some(reason), ..Self::single_id(uid, gid) })
    }

    /// The maps of the user namespace that process `pid` is in, in the host's ids.
    pub(crate) fn of_process(pid: i32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            let text = std::fs::read_to_string(&path).context(|| format!("cannot read {path}"))?;
            parse_id_map(&text).ok_or_else(|| Error::new(format!("cannot understand {path}")))
        };
        Ok(Self { uids: read("uid_map")?, gids: read("gid_map")?, single: None })
    }

    /// Container id 0 is `uid` and `gid`; nothing else is mapped.
    pub(crate) fn single_id(uid: u32, gid: u32) -> Self {
        let one = |host| vec![IdRange { container: 0, host, size: 1 }];
        Self { uids: one(uid), gids: one(gid), single: None }
    }

    /// Whether the kernel denies setgroups(2): an ordinary user wrote a map of the own id alone (user_namespaces(7)).
    pub(crate) fn denies_setgroups(&self) -> bool {
        let own = |ranges: &[IdRange], id: u32| matches!(ranges, [IdRange { host, size: 1, .. }] if *host == id);
        own(&self.uids, rustix::process::geteuid().as_raw())
            && own(&self.gids, rustix::process::getegid().as_raw())
            && !mapping::may_map_all()
    }

    /// Whether one user id or one group id is all there is: no chown, no setgroups.
    pub(crate) fn is_single(&self) -> bool {
        total(&self.uids) <= 1 || total(&self.gids) <= 1
    }

    /// The same ids as a process in a namespace with the ids `outer` sees them; `None` when not all are among those.
    pub(crate) fn within(&self, outer: &Self) -> Option<Self> {
        Some(Self { uids: within(&self.uids, &outer.uids)?, gids: within(&self.gids, &outer.gids)?, single: None })
    }

    /// As uid_map and gid_map take them.
    pub(crate) fn texts(&self) -> (String, String) {
        (mapping::lines(&self.uids), mapping::lines(&self.gids))
    }

    pub(crate) fn host_uid(&self, container: u32) -> Option<u32> {
        to_host(&self.uids, container)
    }

    pub(crate) fn host_gid(&self, container: u32) -> Option<u32> {
        to_host(&self.gids, container)
    }

    /// The user and group ids that the container sees for two of the host's.
    pub(crate) fn inside(&self, uid: u32, gid: u32) -> (Option<u32>, Option<u32>) {
        (from_host(&self.uids, uid), from_host(&self.gids, gid))
    }
}

impl fmt::Display for SingleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingRange { file } => write!(f, "{file} has no range for this user"),
            Self::MissingProgram { program } => {
                write!(f, "{program} is not installed (Debian: uidmap, Fedora: shadow-utils)")
            }
            Self::NoNewPrivileges => f.write_str("this process may not gain privileges (no_new_privs is set)"),
        }
    }
}

fn to_host(ranges: &[IdRange], id: u32) -> Option<u32> {
    ranges.iter().find(|r| id >= r.container && id - r.container < r.size).map(|r| r.host + (id - r.container))
}

fn from_host(ranges: &[IdRange], id: u32) -> Option<u32> {
    ranges.iter().find(|r| id >= r.host && id - r.host < r.size).map(|r| r.container + (id - r.host))
}

/// Splits ranges where those of the outer namespace end: the kernel looks each of them up in one of those.
fn within(ranges: &[IdRange], outer: &[IdRange]) -> Option<Vec<IdRange>> {
    let mut inner: Vec<IdRange> = Vec::new();
    for range in ranges {
        let mut done = 0;
        while done < range.size {
            let host = range.host + done;
            let found = outer.iter().find(|o| host >= o.host && host - o.host < o.size)?;
            let offset = host - found.host;
            let size = (range.size - done).min(found.size - offset);
            let next = IdRange { container: range.container + done, host: found.container + offset, size };
            inner.push(next);
            done += size;
        }
    }
    Some(inner)
}

fn total(ranges: &[IdRange]) -> u64 {
    ranges.iter().map(|r| u64::from(r.size)).sum()
}

/// 0 → `own`, then the subordinate ranges (start, size) one after the other from 1 on.
fn stack(own: u32, ranges: &[(u32, u32)]) -> Vec<IdRange> {
    let mut map = vec![IdRange { container: 0, host: own, size: 1 }];
    let mut next = 1u32;
    for &(host, size) in ranges.iter().take(mapping::MAX_RANGES - 1) {
        let size = size.min(u32::MAX - next);
        if size > 0 {
            map.push(IdRange { container: next, host, size });
            next += size;
        }
    }
    map
}

/// Every id that this process's namespace has, mapped to itself.
fn identity(path: &str) -> Result<Vec<IdRange>> {
    let text = std::fs::read_to_string(path).context(|| format!("cannot read {path}"))?;
    parse_id_map(&text)
        .map(|ranges| ranges.into_iter().map(|r| IdRange { host: r.container, ..r }).collect())
        .ok_or_else(|| Error::new(format!("cannot understand {path}")))
}

/// The lines of /proc/PID/uid_map: inside, outside, size.
fn parse_id_map(text: &str) -> Option<Vec<IdRange>> {
    text.lines()
        .map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(|n| n.parse().ok());
            let mut next = || numbers.next().flatten();
            Some(IdRange { container: next()?, host: next()?, size: next()? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_translated() {
        let uids = stack(1000, &[(100_000, 65_536), (300_000, 10)]);
        let maps = IdMaps { gids: uids.clone(), uids, single: None };
        for (container, host) in [
            (0, Some(1000)),
            (1, Some(100_000)),
            (65_536, Some(165_535)),
            (65_537, Some(300_000)),
            (65_546, Some(300_009)),
            (65_547, None),
        ] {
            assert_eq!((maps.host_uid(container), maps.host_gid(container)), (host, host));
        }
        assert!(!maps.is_single());
        assert!(IdMaps::single_id(5, 5).is_single());
    }

    #[test]
    fn ids_seen_from_another_namespace() {
        let outer = stack(1000, &[(100_000, 65_536), (300_000, 10)]);
        let maps = |uids: Vec<IdRange>| IdMaps { gids: uids.clone(), uids, single: None };
        let whole = maps(outer.clone()).within(&maps(outer.clone())).expect("within");
        let own = |first, size| IdRange { container: first, host: first, size };
        assert_eq!(whole.uids, [own(0, 1), own(1, 65_536), own(65_537, 10)]);
        let some =
            maps(vec![IdRange { container: 5, host: 165_535, size: 1 }, IdRange { container: 9, host: 1000, size: 1 }]);
        let seen = some.within(&maps(outer.clone())).expect("within");
        assert_eq!(
            seen.uids,
            [IdRange { container: 5, host: 65_536, size: 1 }, IdRange { container: 9, host: 0, size: 1 }]
        );
        assert!(maps(vec![IdRange { container: 0, host: 300_009, size: 2 }]).within(&maps(outer)).is_none());
    }

    #[test]
    fn a_huge_range_does_not_overflow() {
        assert_eq!(stack(0, &[(1, u32::MAX), (7, 7)]).len(), 2);
    }

    #[test]
    fn kernel_maps_are_parsed() {
        let whole = "         0          0 4294967295\n";
        assert_eq!(parse_id_map(whole), Some(vec![IdRange { container: 0, host: 0, size: u32::MAX }]));
        assert_eq!(parse_id_map("0 1"), None);
    }
}
