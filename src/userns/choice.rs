//! Which ids a container's user namespace has: `--userns`, `--uidmap`, `--gidmap`, `--subuidname`, `--subgidname`.
//!
//! Ids are counted as in Podman: an *intermediate* id is an id of the user's whole map ([`IdMaps::for_user`]), in which 0
//! is the user and 1 and up are the subordinate ids; for root, intermediate ids are the host's. A choice is a list of
//! (container, intermediate, size), and [`maps`] puts it on top of the whole map. No process ever lives in the
//! intermediate namespace: newuidmap takes the result as it is.

use super::{IdMaps, IdRange, mapping, subid};
use crate::error::{Error, Result};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Choice {
    /// The whole map as it is.
    #[default]
    Whole,
    /// The user keeps its own id, or has the one given.
    KeepId(KeepId),
    /// The user's own id is not there at all.
    NoMap,
    /// Subordinate ids that no other such container has.
    Auto(Auto),
    /// `--uidmap` and `--gidmap`.
    Explicit { uids: Vec<Entry>, gids: Vec<Entry> },
    /// `--subuidname` and `--subgidname`: the ranges that these names have, from container id 0 on.
    Named { users: String, groups: String },
}

/// `keep-id:uid=,gid=,size=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KeepId {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// How many ids there are at most.
    pub size: Option<u32>,
}

/// `auto:size=,uidmapping=,gidmapping=`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Auto {
    pub size: Option<u32>,
    pub uids: Vec<Entry>,
    pub gids: Vec<Entry>,
}

/// One `[+][@]`-mapping as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub container: u32,
    pub parent: u32,
    pub size: u32,
    /// `@`: the parent's id is the host's, not an intermediate one.
    pub host: bool,
    /// `+`: what the list does not mention is filled with the ids that are left.
    pub extend: bool,
}

/// The fewest ids that `auto` gives (Podman's).
const LEAST_AUTO: u32 = 1024;

/// An intermediate id range of a container.
type Part = (u32, u32, u32);

/// The maps that `choice` means for a user with the whole map `all`. `taken` are the host ids that other `auto` containers
/// have, `needed` is the highest container id that an `auto` container must have.
pub(crate) fn maps(
    choice: &Choice,
    all: &IdMaps,
    taken: &mut dyn FnMut() -> Result<Vec<IdMaps>>,
    needed: u32,
) -> Result<IdMaps> {
    let root = mapping::may_map_all();
    let single = all.is_single() && !root;
    let built = match choice {
        Choice::Whole => return Ok(all.clone()),
        // Root has every id already, its own among them.
        Choice::KeepId(_) if root => return Ok(all.clone()),
        Choice::KeepId(wish) => {
            let own = own_id(wish);
            let limit = if single { Some(1) } else { wish.size };
            (keep(own.0, total(&all.uids), limit, single), keep(own.1, total(&all.gids), limit, single))
        }
        Choice::NoMap if root => return Err(Error::new("cannot set up nomap: it is only of use without root")),
        Choice::NoMap if single => return Err(no_range("nomap", all)),
        Choice::NoMap => (vec![(0, 1, total(&all.uids) - 1)], vec![(0, 1, total(&all.gids) - 1)]),
        Choice::Auto(_) if single => return Err(no_range("auto", all)),
        Choice::Auto(wish) => auto(wish, all, root, &taken()?, needed)?,
        Choice::Explicit { uids, gids } => (explicit(uids, all, Kind::User)?, explicit(gids, all, Kind::Group)?),
        Choice::Named { users, groups } => return named(users, groups),
    };
    let rootless = |parts: &[Part]| !parts.iter().any(|part| part.0 == 0);
    if matches!(choice, Choice::Explicit { .. }) && !single && (rootless(&built.0) || rootless(&built.1)) {
        return Err(Error::new("container ID 0 cannot be mapped to a host ID")
            .hint("the files of every image belong to 0: map it, for instance with --uidmap 0:1:1"));
    }
    Ok(IdMaps {
        uids: compose(&all.uids, &built.0, Kind::User)?,
        gids: compose(&all.gids, &built.1, Kind::Group)?,
        single: if single { all.single.clone() } else { None },
    })
}

/// Who runs in a `keep-id` container when nobody says otherwise.
pub(crate) fn own_id(wish: &KeepId) -> (u32, u32) {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    (wish.uid.unwrap_or(uid), wish.gid.unwrap_or(gid))
}

fn no_range(mode: &str, all: &IdMaps) -> Error {
    let error = Error::new(format!("--userns {mode} needs subordinate ids"));
    match &all.single {
        Some(reason) => error.hint(reason.to_string()),
        None => error,
    }
}

fn total(ranges: &[IdRange]) -> u32 {
    u32::try_from(super::total(ranges)).unwrap_or(u32::MAX)
}

/// Podman's arithmetic: the subordinate ids lie around the user's own.
fn keep(own: u32, most: u32, limit: Option<u32>, single: bool) -> Vec<Part> {
    if single {
        return vec![(own, 0, 1)];
    }
    let mut parts = Vec::new();
    if own > 0 {
        parts.push((0, 1, own.min(most - 1)));
    }
    parts.push((own, 0, 1));
    if most > own.saturating_add(1) {
        parts.push((own + 1, own + 1, most - own - 1));
    }
    let Some(limit) = limit.filter(|limit| *limit > 0) else { return parts };
    // The user's own id stays, whatever the size.
    parts.retain_mut(|part| {
        if part.1 != 0 {
            part.2 = part.2.min(limit.saturating_sub(part.0));
        }
        part.2 > 0
    });
    parts
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Group,
}

impl Kind {
    fn shown(self) -> &'static str {
        if self == Self::User { "UID" } else { "GID" }
    }

    fn of(self, maps: &IdMaps) -> &[IdRange] {
        if self == Self::User { &maps.uids } else { &maps.gids }
    }
}

fn explicit(entries: &[Entry], all: &IdMaps, kind: Kind) -> Result<Vec<Part>> {
    let ranges = kind.of(all);
    if entries.is_empty() {
        return Ok(ranges.iter().map(|r| (r.container, r.container, r.size)).collect());
    }
    let mut parts: Vec<Part> = Vec::new();
    for entry in entries {
        let parent = if entry.host { to_intermediate(ranges, entry.parent, kind)? } else { entry.parent };
        let part = (entry.container, parent, entry.size);
        if entry.extend {
            cut(&mut parts, part);
        } else if let Some(other) = parts.iter().find(|other| overlap(**other, part)) {
            return Err(Error::new(format!(
                "the specified UID and/or GID mapping {}:{}:{} conflicts with other mappings: invalid mappings specified",
                part.0, part.1, part.2
            ))
            .hint(format!("the other one is {}:{}:{}", other.0, other.1, other.2)));
        }
        parts.push(part);
    }
    if entries.iter().any(|entry| entry.extend) && !mapping::may_map_all() {
        fill(&mut parts, ranges);
    }
    parts.sort_unstable();
    Ok(parts)
}

fn overlap(a: Part, b: Part) -> bool {
    let meet = |a: u32, b: u32, an: u32, bn: u32| {
        u64::from(a) < u64::from(b) + u64::from(bn) && u64::from(b) < u64::from(a) + u64::from(an)
    };
    meet(a.0, b.0, a.2, b.2) || meet(a.1, b.1, a.2, b.2)
}

/// Takes out of `parts` what shares an id with `new`.
fn cut(parts: &mut Vec<Part>, new: Part) {
    let old = std::mem::take(parts);
    for part in old {
        let mut holes = [(new.0, part.0), (new.1, part.1)].map(|(new_start, start)| {
            let first = u64::from(new_start).saturating_sub(u64::from(start));
            let end = (u64::from(new_start) + u64::from(new.2)).saturating_sub(u64::from(start));
            (first.min(u64::from(part.2)), end.min(u64::from(part.2)))
        });
        holes.sort_unstable();
        let mut at = 0;
        for (first, end) in holes {
            push(parts, part, at, first);
            at = at.max(end);
        }
        push(parts, part, at, u64::from(part.2));
    }
}

/// The ids from offset `first` to before `end` of a part.
fn push(parts: &mut Vec<Part>, part: Part, first: u64, end: u64) {
    if first < end
        && let (Ok(offset), Ok(size)) = (u32::try_from(first), u32::try_from(end - first))
    {
        parts.push((part.0 + offset, part.1 + offset, size));
    }
}

/// Gives the container ids that have none the intermediate ids that are left, both from the lowest on.
fn fill(parts: &mut Vec<Part>, ranges: &[IdRange]) {
    let mut free: Vec<Part> = ranges.iter().map(|r| (0, r.container, r.size)).collect();
    for part in parts.iter() {
        // In a list of its own the container ids do not matter: out of everybody's way.
        let mut left = Vec::new();
        for range in free {
            let mut one = vec![(range.1, range.1, range.2)];
            cut(&mut one, (part.1, part.1, part.2));
            left.append(&mut one);
        }
        free = left.into_iter().map(|(_, parent, size)| (0, parent, size)).collect();
    }
    let mut used: Vec<Part> = parts.clone();
    used.sort_unstable();
    let (mut next, mut gaps) = (0u64, Vec::new());
    for part in used {
        gaps.push((next, u64::from(part.0)));
        next = u64::from(part.0) + u64::from(part.2);
    }
    gaps.push((next, u64::from(u32::MAX)));
    let mut free = free.into_iter();
    let mut current = free.next();
    for (mut at, end) in gaps {
        while at < end
            && let Some((_, parent, size)) = current
        {
            let take = u64::from(size).min(end - at);
            if let (Ok(start), Ok(taken)) = (u32::try_from(at), u32::try_from(take)) {
                parts.push((start, parent, taken));
                current = if taken == size { free.next() } else { Some((0, parent + taken, size - taken)) };
            }
            at += take;
        }
    }
}

fn to_intermediate(ranges: &[IdRange], host: u32, kind: Kind) -> Result<u32> {
    let found = ranges.iter().find(|r| host >= r.host && host - r.host < r.size);
    found
        .map(|r| r.container + (host - r.host))
        .ok_or_else(|| Error::new(format!("parent ID {} {host} is not mapped/delegated", kind.shown())))
}

/// Ids that no other `auto` container has. Rootless they come out of the user's own subordinate ids, never the user's own
/// id; for root out of what the name `containers` has in /etc/subuid and /etc/subgid (Podman's convention).
fn auto(wish: &Auto, all: &IdMaps, root: bool, taken: &[IdMaps], needed: u32) -> Result<(Vec<Part>, Vec<Part>)> {
    let lists = [&wish.uids, &wish.gids];
    let asked = lists.into_iter().flatten().map(|e| e.container.saturating_add(e.size)).max().unwrap_or(0);
    let size = wish.size.unwrap_or_else(|| LEAST_AUTO.max(needed.saturating_add(1)).max(asked));
    let pool = |kind: Kind| -> Result<Vec<(u32, u32)>> {
        let ranges = kind.of(all);
        if root {
            return subid::of_name("containers", kind == Kind::Group);
        }
        Ok(ranges.iter().filter(|r| r.container > 0).map(|r| (r.container, r.size)).collect())
    };
    let one = |kind: Kind, entries: &[Entry]| -> Result<Vec<Part>> {
        let ranges = kind.of(all);
        let mut parts = Vec::new();
        for entry in entries {
            let parent = if entry.host { to_intermediate(ranges, entry.parent, kind)? } else { entry.parent };
            parts.push((entry.container, parent, entry.size));
        }
        // What others have, in intermediate ids.
        let others = taken.iter().flat_map(|maps| kind.of(maps));
        let used: Vec<(u32, u32)> =
            others.filter_map(|r| Some((to_intermediate(ranges, r.host, kind).ok()?, r.size))).collect();
        let mut free: Vec<Part> = pool(kind)?.into_iter().map(|(start, size)| (start, start, size)).collect();
        for (start, size) in used.into_iter().chain(parts.iter().map(|part| (part.1, part.2))) {
            cut(&mut free, (start, start, size));
        }
        let mut gaps = vec![(0, 0, size)];
        for part in &parts {
            cut(&mut gaps, (part.0, part.0, part.2));
        }
        free.sort_unstable();
        for (start, _, length) in gaps {
            let place = free.iter_mut().find(|(_, _, size)| *size >= length).ok_or_else(|| {
                Error::new(format!("not enough unused {}s in the user namespace: {length} are needed", kind.shown()))
                    .hint("remove containers with --userns auto, give them a smaller size=, or get a larger range in /etc/subuid and /etc/subgid")
            })?;
            parts.push((start, place.1, length));
            *place = (place.0 + length, place.1 + length, place.2 - length);
        }
        parts.sort_unstable();
        Ok(parts)
    };
    Ok((one(Kind::User, &wish.uids)?, one(Kind::Group, &wish.gids)?))
}

fn named(users: &str, groups: &str) -> Result<IdMaps> {
    let stack = |ranges: Vec<(u32, u32)>| {
        let mut next = 0u32;
        let mut map = Vec::new();
        for (host, size) in ranges {
            let size = size.min(u32::MAX - next);
            map.push(IdRange { container: next, host, size });
            next += size;
        }
        map
    };
    let (uids, gids) = (subid::of_name(users, false)?, subid::of_name(groups, true)?);
    Ok(IdMaps { uids: stack(uids), gids: stack(gids), single: None })
}

/// Container ids on top of the whole map: one range per piece that lies together on the host.
fn compose(all: &[IdRange], parts: &[Part], kind: Kind) -> Result<Vec<IdRange>> {
    let mut map: Vec<IdRange> = Vec::new();
    for &(container, intermediate, size) in parts {
        let (mut at, end) = (u64::from(intermediate), u64::from(intermediate) + u64::from(size));
        while at < end {
            let piece =
                all.iter().find(|r| u64::from(r.container) <= at && at < u64::from(r.container) + u64::from(r.size));
            let piece = piece.ok_or_else(|| {
                let (uid, gid) = if kind == Kind::User { (at, 0) } else { (0, at) };
                Error::new(format!(
                    "potentially insufficient UIDs or GIDs available in user namespace (requested {uid}:{gid}): Check /etc/subuid and /etc/subgid"
                ))
            })?;
            let offset = at - u64::from(piece.container);
            let length = (u64::from(piece.size) - offset).min(end - at);
            let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
            let inside = u64::from(container) + (at - u64::from(intermediate));
            if inside + length > u64::from(u32::MAX) {
                return Err(Error::new(format!("the {} {inside} of the container is too large", kind.shown())));
            }
            let host = piece.host + narrow(offset);
            map.push(IdRange { container: narrow(inside), host, size: narrow(length) });
            at += length;
        }
    }
    if map.len() > mapping::MAX_RANGES {
        return Err(Error::new(format!(
            "the kernel takes {} ranges of ids, and this are {}",
            mapping::MAX_RANGES,
            map.len()
        )));
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(own: u32) -> Vec<IdRange> {
        super::super::stack(own, &[(100_000, 65_536)])
    }

    fn shown(map: &[IdRange]) -> String {
        map.iter().map(|r| format!("{}:{}:{}", r.container, r.host, r.size)).collect::<Vec<_>>().join(" ")
    }

    fn entry(container: u32, parent: u32, size: u32) -> Entry {
        Entry { container, parent, size, host: false, extend: false }
    }

    #[test]
    fn keep_id_lies_around_the_own_id() {
        let all = whole(2000);
        for (own, limit, single, expected) in [
            (2000, None, false, "0:100000:2000 2000:2000:1 2001:102000:63536"),
            (0, None, false, "0:2000:1 1:100000:65536"),
            (5, Some(100), false, "0:100000:5 5:2000:1 6:100005:94"),
            (2000, Some(100), false, "0:100000:100 2000:2000:1"),
            (65_536, None, false, "0:100000:65536 65536:2000:1"),
            (3_000_000, None, false, "0:100000:65536 3000000:2000:1"),
            (7, None, true, "7:2000:1"),
        ] {
            let parts = keep(own, 65_537, limit, single);
            assert_eq!(shown(&compose(&all, &parts, Kind::User).expect("maps")), expected, "{own} {limit:?}");
        }
    }

    #[test]
    fn explicit_maps() {
        let maps = IdMaps { uids: whole(2000), gids: whole(2000), single: None };
        let map = |entries: &[Entry]| {
            explicit(entries, &maps, Kind::User)
                .and_then(|parts| compose(&maps.uids, &parts, Kind::User))
                .map_or_else(|e| e.to_string(), |map| shown(&map))
        };
        assert_eq!(map(&[]), "0:2000:1 1:100000:65536");
        assert_eq!(map(&[entry(0, 0, 5)]), "0:2000:1 1:100000:4");
        assert_eq!(map(&[entry(7, 1, 5)]), "7:100000:5");
        assert_eq!(map(&[Entry { host: true, ..entry(0, 100_007, 1) }]), "0:100007:1");
        assert_eq!(map(&[Entry { host: true, ..entry(0, 2001, 1) }]), "parent ID UID 2001 is not mapped/delegated");
        assert!(
            map(&[entry(0, 0, 5), entry(3, 9, 5)]).starts_with("the specified UID and/or GID mapping 3:9:5 conflicts")
        );
        assert!(map(&[entry(0, 99_999_999, 5)]).starts_with("potentially insufficient UIDs"));
        assert!(map(&[entry(0, 65_536, 2)]).starts_with("potentially insufficient UIDs"));
        assert!(map(&[entry(u32::MAX - 1, 0, 5)]).contains("too large"));
    }

    #[test]
    fn cutting_and_filling() {
        let mut parts = vec![(0, 0, 10)];
        cut(&mut parts, (3, 5, 1));
        assert_eq!(parts, [(0, 0, 3), (4, 4, 1), (6, 6, 4)]);
        let mut parts = vec![(5, 0, 1)];
        fill(&mut parts, &whole(2000));
        parts.sort_unstable();
        // As Podman 5.4 answers `--uidmap +5:0:1`, its neighbours joined.
        assert_eq!(parts, [(0, 1, 5), (5, 0, 1), (6, 6, 65_531)]);
    }

    #[test]
    fn auto_takes_what_is_free() {
        let all = IdMaps { uids: whole(2000), gids: whole(2000), single: None };
        let map = |wish: &Auto, taken: &[IdMaps], needed| {
            auto(wish, &all, false, taken, needed).and_then(|(uids, gids)| {
                Ok(IdMaps {
                    uids: compose(&all.uids, &uids, Kind::User)?,
                    gids: compose(&all.gids, &gids, Kind::Group)?,
                    single: None,
                })
            })
        };
        let first = map(&Auto::default(), &[], 0).expect("maps");
        assert_eq!(shown(&first.uids), "0:100000:1024");
        let second = map(&Auto::default(), std::slice::from_ref(&first), 5000).expect("maps");
        assert_eq!(shown(&second.gids), "0:101024:5001");
        let wish = Auto { size: Some(100), uids: vec![entry(5, 0, 1)], gids: Vec::new() };
        let third = map(&wish, &[first.clone(), second.clone()], 0).expect("maps");
        assert_eq!(shown(&third.uids), "0:106025:5 5:2000:1 6:106030:94");
        let all_of_it = Auto { size: Some(65_000), ..Auto::default() };
        assert!(map(&all_of_it, &[first], 0).expect_err("full").to_string().starts_with("not enough unused UIDs"));
    }
}
