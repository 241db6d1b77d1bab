//! Capability sets (capabilities(7)) as bit masks, and the ones a container starts with.

use crate::error::{Error, Result};

/// Names in the order of their numbers.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What Podman leaves a container: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, NET_BIND_SERVICE, SETFCAP, SETGID,
/// SETPCAP, SETUID, SYS_CHROOT.
pub(crate) const DEFAULT: CapSet = CapSet(0x8004_05fb);

/// A set of capabilities, bit N for capability number N.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CapSet(u64);

impl CapSet {
    pub(crate) const EMPTY: Self = Self(0);

    /// All that the running kernel knows; `last` is /proc/sys/kernel/cap_last_cap.
    pub(crate) fn all(last: u32) -> Self {
        let known = NAMES.len() as u32;
        Self((1 << (last + 1).min(known)) - 1)
    }

    /// Every capability that has a name here.
    pub(crate) fn every() -> Self {
        Self::all(u32::MAX - 1)
    }

    /// The kernel's own form, as in /proc/PID/status.
    pub(crate) fn from_mask(mask: u64) -> Self {
        Self(mask)
    }

    /// The set of these names, with `CAP_` or without.
    pub(crate) fn of_names(names: impl Iterator<Item = String>) -> Self {
        names.filter_map(|name| parse(&name)).fold(Self::EMPTY, Self::union)
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the capability of that name (`CAP_SYS_ADMIN`) is in the set.
    pub(crate) fn contains_name(self, name: &str) -> bool {
        parse(name).is_some_and(|cap| self.0 & cap.0 != 0)
    }

    /// Names without `CAP_`, sorted.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let mut names: Vec<_> =
            NAMES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| *name).collect();
        names.sort_unstable();
        names
    }
}

/// The five sets of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub bounding: CapSet,
    pub effective: CapSet,
    pub permitted: CapSet,
    pub inheritable: CapSet,
    pub ambient: CapSet,
}

/// What `--cap-add` and `--cap-drop` ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    add: CapSet,
    drop: CapSet,
    add_all: bool,
    drop_all: bool,
}

impl Changes {
    /// Names with or without `CAP_`, in any case, or `all`.
    ///
    /// # Errors
    /// For a name that is no capability, and for one that is both added and dropped.
    pub(crate) fn parse(add: &[String], drop: &[String]) -> Result<Self> {
        let mut changes = Self::default();
        for name in add {
            match named(name)? {
                Some(cap) => changes.add = changes.add.union(cap),
                None => changes.add_all = true,
            }
        }
        for name in drop {
            match named(name)? {
                Some(cap) => changes.drop = changes.drop.union(cap),
                None => changes.drop_all = true,
            }
        }
        let both = changes.add.intersection(changes.drop);
        if let Some(name) = both.names().first() {
            return Err(Error::new(format!("capability \"CAP_{name}\" cannot be dropped and added")));
        }
        if changes.add_all && changes.drop_all {
            return Err(Error::new("adding all caps and removing all caps not allowed"));
        }
        Ok(changes)
    }

    /// `base` with the changes made; `all` is what the kernel knows.
    fn apply(&self, base: CapSet, all: CapSet) -> CapSet {
        let base = if self.drop_all { CapSet::EMPTY } else { base };
        let base = if self.add_all { all } else { base };
        base.without(self.drop).union(self.add).intersection(all)
    }

    /// The sets of a container's first process.
    ///
    /// Another user than root gets only what was asked for by name, but gets it as ambient: it would not survive the
    /// exec otherwise.
    pub(crate) fn resolve(&self, root: bool, privileged: bool, all: CapSet) -> Capabilities {
        let bounding = if privileged { all.without(self.drop) } else { self.apply(DEFAULT, all) };
        if root {
            return Capabilities { bounding, effective: bounding, permitted: bounding, ..Capabilities::default() };
        }
        let asked = if self.add_all { all.without(self.drop) } else { self.add };
        let asked = asked.intersection(bounding);
        Capabilities { bounding, effective: asked, permitted: asked, inheritable: asked, ambient: asked }
    }

    /// Whether a capability that the running kernel does not know was asked for by name.
    pub(crate) fn unknown_to_kernel(&self, all: CapSet) -> Option<&'static str> {
        self.add.without(all).names().first().copied()
    }
}

/// The kernel's number of a capability; the name with or without `CAP_`, in any case.
pub(crate) fn number(name: &str) -> Option<usize> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == bare)
}

fn parse(name: &str) -> Option<CapSet> {
    number(name).map(|bit| CapSet(1 << bit))
}

/// `None` for `all`.
fn named(name: &str) -> Result<Option<CapSet>> {
    if name.eq_ignore_ascii_case("all") {
        return Ok(None);
    }
    parse(name).map(Some).ok_or_else(|| {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        Error::new(format!("\"CAP_{bare}\": unknown capability")).hint("see capabilities(7) for the names")
    })
}
