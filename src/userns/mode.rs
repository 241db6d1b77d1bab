//! `--userns`: what a container's own user namespace maps, made from everything the user has.

use super::{IdMaps, IdRange};
use crate::error::{Error, Result};

/// The user namespace of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    /// The user is root in the container, the subordinate ids follow (the default).
    #[default]
    User,
    /// The user keeps this uid and gid in the container; root is the first subordinate id.
    KeepId { uid: u32, gid: u32 },
    /// The user's own id is not mapped at all.
    NoMap,
}

impl Mode {
    /// The container's map.
    ///
    /// # Errors
    /// When the mode needs subordinate ids and there are none.
    pub(crate) fn maps(self, all: &IdMaps) -> Result<IdMaps> {
        let change = match self {
            Self::User => return Ok(all.clone()),
            Self::KeepId { .. } | Self::NoMap if all.is_single() => {
                return Err(Error::new("this --userns mode needs subordinate ids, and this user has none")
                    .hint("add a range to /etc/subuid and /etc/subgid, for instance with usermod --add-subuids"));
            }
            Self::KeepId { uid, gid } => (keep(&all.uids, uid), keep(&all.gids, gid)),
            Self::NoMap => (without_own(&all.uids), without_own(&all.gids)),
        };
        Ok(IdMaps { uids: change.0, gids: change.1, single: None })
    }
}

/// Moves the user (the first range) to `id`; the subordinate ids fill the places below and above.
fn keep(all: &[IdRange], id: u32) -> Vec<IdRange> {
    let Some((own, subordinate)) = all.split_first() else { return Vec::new() };
    let mut map = vec![IdRange { container: id, ..*own }];
    let mut next = 0u32;
    for &IdRange { mut host, mut size, .. } in subordinate {
        if next < id {
            let below = size.min(id - next);
            map.push(IdRange { container: next, host, size: below });
            (next, host, size) = (next + below, host + below, size - below);
        }
        if next == id {
            next += 1;
        }
        if size > 0 {
            map.push(IdRange { container: next, host, size });
            next = next.saturating_add(size);
        }
    }
    map
}

fn without_own(all: &[IdRange]) -> Vec<IdRange> {
    all.iter().skip(1).map(|r| IdRange { container: r.container.saturating_sub(1), ..*r }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(container: u32, host: u32, size: u32) -> IdRange {
        IdRange { container, host, size }
    }

    #[test]
    fn keep_id_splits_the_range_around_the_user() {
        let all = [range(0, 1000, 1), range(1, 100_000, 65_536)];
        assert_eq!(keep(&all, 1000), [range(1000, 1000, 1), range(0, 100_000, 1000), range(1001, 101_000, 64_536)]);
        assert_eq!(keep(&all, 0), [range(0, 1000, 1), range(1, 100_000, 65_536)]);
        assert_eq!(keep(&all, 70_000), [range(70_000, 1000, 1), range(0, 100_000, 65_536)]);
        assert_eq!(without_own(&all), [range(0, 100_000, 65_536)]);
    }
}
