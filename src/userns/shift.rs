//! From the ids in which a store's files are written to those of a container whose map is not the whole one.
//!
//! Layers are unpacked through the user's whole map, so a file of the image's root belongs to the user. In a container
//! that maps the user to another id (`--userns keep-id`), or not at all (`nomap`, `auto`), those files would belong to the
//! wrong one: the kernel compares host ids, and no nesting of namespaces changes them. An idmapped mount would, but the
//! kernel allows it only where the file system itself was mounted by the same user namespace, which holds for no disk.
//! What is left is what Podman does as well: a copy with other owners, kept for the next container with the same map.

use serde::{Deserialize, Serialize};

use super::{IdMaps, IdRange, to_host};

/// Ids of the whole map → ids of the whole map: who owns a file on disk, and who must own its copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shift {
    uids: Lookup,
    gids: Lookup,
    /// Everything becomes root's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    squash: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lookup {
    /// The container's map.
    container: Vec<IdRange>,
    /// The whole one.
    whole: Vec<IdRange>,
}

impl Lookup {
    /// The id of the whole map that shows as `id` in the container.
    fn get(&self, id: u32) -> Option<u32> {
        let host = to_host(&self.container, id)?;
        let range = self.whole.iter().find(|r| host >= r.host && host - r.host < r.size)?;
        Some(range.container + (host - range.host))
    }

    /// An id of the whole map that the container does not have: `id` itself, if that is one.
    fn hidden(&self, id: u32) -> Option<u32> {
        let ends = |ranges: &[IdRange]| -> Vec<u32> {
            ranges.iter().flat_map(|r| [r.container, r.container.saturating_add(r.size.saturating_sub(1))]).collect()
        };
        let free = |id: &u32| {
            let host = to_host(&self.whole, *id);
            host.is_some_and(|host| !self.container.iter().any(|r| host >= r.host && host - r.host < r.size))
        };
        let near = self.container.iter().flat_map(|r| {
            let beside = [r.host.checked_sub(1), r.host.checked_add(r.size)];
            beside.into_iter().flatten().filter_map(|host| {
                let range = self.whole.iter().find(|w| host >= w.host && host - w.host < w.size)?;
                Some(range.container + (host - range.host))
            })
        });
        std::iter::once(id).chain(ends(&self.whole)).chain(near).find(free)
    }

    fn is_nothing(&self) -> bool {
        // Ranges are straight: what holds at their ends holds between, if no other range of the whole map begins there.
        self.container.iter().all(|range| {
            let pieces = self.whole.iter().filter(|w| {
                u64::from(w.host) < u64::from(range.host) + u64::from(range.size)
                    && u64::from(range.host) < u64::from(w.host) + u64::from(w.size)
            });
            pieces.into_iter().all(|w| {
                i64::from(w.container) - i64::from(w.host) == i64::from(range.container) - i64::from(range.host)
            })
        })
    }
}

impl Shift {
    /// `None` when every id that the container has is where the store has it.
    pub(crate) fn between(whole: &IdMaps, container: &IdMaps) -> Option<Self> {
        // With one id there is nothing to tell apart: everything is the user's.
        if whole.is_single() {
            return None;
        }
        let lookup =
            |whole: &[IdRange], container: &[IdRange]| Lookup { container: container.to_vec(), whole: whole.to_vec() };
        let shift = Self {
            uids: lookup(&whole.uids, &container.uids),
            gids: lookup(&whole.gids, &container.gids),
            squash: false,
        };
        (!shift.uids.is_nothing() || !shift.gids.is_nothing()).then_some(shift)
    }

    /// For files of somebody else, whose ids mean nothing here: all of them are the container's root's.
    pub(crate) fn squash() -> Self {
        let nobody = Lookup { container: Vec::new(), whole: Vec::new() };
        Self { uids: nobody.clone(), gids: nobody, squash: true }
    }

    /// The owner and group of a copy. Of ids that the container does not have, it sees only that they are nobody's there; `None`
    /// where it has all ids but these.
    pub(crate) fn owner(&self, uid: u32, gid: u32) -> (Option<u32>, Option<u32>) {
        let of = |lookup: &Lookup, id| lookup.get(id).or_else(|| lookup.hidden(id));
        if self.squash { (Some(0), Some(0)) } else { (of(&self.uids, uid), of(&self.gids, gid)) }
    }

    /// The owner that a copy must have; `None` when the container does not have that user.
    pub(crate) fn uid(&self, id: u32) -> Option<u32> {
        if self.squash { Some(0) } else { self.uids.get(id) }
    }

    /// The group that a copy must have; `None` when the container does not have it.
    pub(crate) fn gid(&self, id: u32) -> Option<u32> {
        if self.squash { Some(0) } else { self.gids.get(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(parts: &[(u32, u32, u32)]) -> IdMaps {
        let ranges: Vec<IdRange> =
            parts.iter().map(|&(container, host, size)| IdRange { container, host, size }).collect();
        IdMaps { uids: ranges.clone(), gids: ranges, single: None }
    }

    #[test]
    fn only_other_places_need_a_copy() {
        let whole = maps(&[(0, 1000, 1), (1, 100_000, 65_536)]);
        assert_eq!(Shift::between(&whole, &whole), None);
        assert_eq!(Shift::between(&whole, &maps(&[(0, 1000, 1), (1, 100_000, 5)])), None);
        assert_eq!(Shift::between(&IdMaps::single_id(5, 5), &maps(&[(5, 5, 1)])), None);
        let keep = maps(&[(0, 100_000, 1000), (1000, 1000, 1), (1001, 101_000, 64_536)]);
        let shift = Shift::between(&whole, &keep).expect("a shift");
        for (id, expected) in [(0, Some(1)), (999, Some(1000)), (1000, Some(0)), (1001, Some(1001)), (70_000, None)] {
            assert_eq!(shift.uid(id), expected, "{id}");
        }
        // Nobody's in the container: the id of the file on the disk, or another one that is not in there.
        let few = maps(&[(0, 100_000, 100)]);
        let shift = Shift::between(&whole, &few).expect("a shift");
        assert_eq!(shift.owner(5, 1000), (Some(6), Some(1000)));
        assert_eq!(shift.owner(100, 0), (Some(0), Some(1)));
    }
}
