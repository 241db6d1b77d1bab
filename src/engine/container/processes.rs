//! The processes of a running container, read from the host's /proc (proc(5)): nothing is run inside and no program of the
//! image is needed.

use std::collections::BTreeSet;
use std::fs;

use crate::error::{Context, Result};

/// Clock ticks a second in /proc: USER_HZ, which is 100 on every architecture that rpod runs on.
pub(crate) const TICKS: u64 = 100;

/// The fields of /proc/PID/stat that are of use here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    /// As the host sees it.
    pub pid: i32,
    pub comm: String,
    pub state: char,
    pub parent: i32,
    pub tty: u32,
    /// Clock ticks in user and kernel mode.
    pub own_ticks: u64,
    /// The same of children that have ended and were waited for.
    pub child_ticks: u64,
    pub nice: i64,
    pub threads: u64,
    /// Clock ticks since boot.
    pub start: u64,
    /// Bytes.
    pub virtual_size: u64,
}

impl Stat {
    pub(crate) fn read(pid: i32) -> Option<Self> {
        Self::parse(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
    }

    fn parse(text: &str) -> Option<Self> {
        // The name is in parentheses and of any characters, these included.
        let (open, close) = (text.find('(')?, text.rfind(')')?);
        let fields: Vec<&str> = text.get(close + 1..)?.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
        Some(Self {
            pid: text.get(..open)?.trim().parse().ok()?,
            comm: text.get(open + 1..close)?.to_owned(),
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            // Negative where the device number has its highest bit; only its bits count.
            tty: fields.get(4)?.parse::<i32>().ok()?.cast_unsigned(),
            own_ticks: number(11)? + number(12)?,
            // Signed in the kernel, though never negative.
            child_ticks: number(13)? + number(14)?,
            nice: fields.get(16)?.parse().ok()?,
            threads: number(17)?,
            start: number(19)?,
            virtual_size: number(20)?,
        })
    }
}

/// The processes of the container whose first one is `init`, in the order of their numbers.
///
/// They are those in its PID namespace, and the descendants of these (which may have made namespaces of their own). A
/// container in the host's PID namespace has the descendants of its first process.
pub(crate) fn of(init: i32) -> Result<Vec<Stat>> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(&init.to_string()).filter(|wanted| Some(wanted) != namespace("self").as_ref());
    let mut all = Vec::new();
    let mut members = BTreeSet::from([init]);
    for entry in fs::read_dir("/proc").context(|| "cannot list /proc")?.flatten() {
        let name = entry.file_name();
        let Some((name, pid)) = name.to_str().and_then(|name| Some((name, name.parse::<i32>().ok()?))) else {
            continue;
        };
        // Ended meanwhile.
        let Some(stat) = Stat::read(pid) else { continue };
        if wanted.is_some() && namespace(name) == wanted {
            members.insert(pid);
        }
        all.push(stat);
    }
    loop {
        let before = members.len();
        for stat in &all {
            if members.contains(&stat.parent) {
                members.insert(stat.pid);
            }
        }
        if members.len() == before {
            break;
        }
    }
    all.retain(|stat| members.contains(&stat.pid));
    all.sort_by_key(|stat| stat.pid);
    Ok(all)
}

/// /proc/PID/status: ids as the host sees them, process numbers in each PID namespace from the host's inwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Real and effective.
    pub uids: [u32; 2],
    pub gids: [u32; 2],
    pub groups: Vec<u32>,
    pub pids: Vec<i32>,
    pub process_groups: Vec<i32>,
    pub inheritable: u64,
    pub permitted: u64,
    pub effective: u64,
    pub bounding: u64,
    pub ambient: u64,
    /// 0 disabled, 1 strict, 2 filter.
    pub seccomp: u8,
    /// Bytes in memory.
    pub resident: u64,
}

impl Status {
    pub(crate) fn read(pid: i32) -> Option<Self> {
        Some(Self::parse(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/status")).ok()?)))
    }

    fn parse(text: &str) -> Self {
        fn numbers<T: std::str::FromStr>(text: &str) -> Vec<T> {
            text.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect()
        }
        let pair = |text: &str| match numbers::<u32>(text)[..] {
            [real, effective, ..] => [real, effective],
            _ => [0; 2],
        };
        let mask = |text: &str| u64::from_str_radix(text, 16).unwrap_or_default();
        let mut status = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match name {
                "Uid" => status.uids = pair(value),
                "Gid" => status.gids = pair(value),
                "Groups" => status.groups = numbers(value),
                "NSpid" => status.pids = numbers(value),
                "NSpgid" => status.process_groups = numbers(value),
                "CapInh" => status.inheritable = mask(value),
                "CapPrm" => status.permitted = mask(value),
                "CapEff" => status.effective = mask(value),
                "CapBnd" => status.bounding = mask(value),
                "CapAmb" => status.ambient = mask(value),
                "VmRSS" => status.resident = numbers::<u64>(value).first().map_or(0, |kib| kib * 1024),
                "Seccomp" => status.seccomp = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_anything() {
        let text = "42 (a) S 1 (b) R 7 42 42 34816 -1 4194304 1 2 3 4 100 50 7 3 20 -5 2 0 900 2322432 344 18446744073709551615 1\n";
        let stat = Stat::parse(text).expect("parses");
        assert_eq!((stat.pid, stat.comm.as_str(), stat.state, stat.parent), (42, "a) S 1 (b", 'R', 7));
        assert_eq!((stat.tty, stat.own_ticks, stat.child_ticks, stat.nice), (34816, 150, 10, -5));
        assert_eq!((stat.threads, stat.start, stat.virtual_size), (2, 900, 2_322_432));
        for torn in ["", "42", "42 (a", "42 (a)", "42 (a) S 1", ") ("] {
            assert_eq!(Stat::parse(torn), None, "{torn}");
        }
    }

    #[test]
    fn ids_and_capabilities() {
        let status = Status::parse(
            "Name:\tsleep\nUid:\t0\t1000\t0\t0\nGid:\t5\t6\t7\t8\nGroups:\t44 29 \nNSpid:\t99\t3\t1\nNSpgid:\t99\t3\t1\n\
             CapInh:\t0000000000000000\nCapEff:\t00000000800405fb\nVmRSS:\t    12 kB\nSeccomp:\t2\nno colon\n",
        );
        assert_eq!((status.uids, status.gids, status.groups), ([0, 1000], [5, 6], vec![44, 29]));
        assert_eq!((status.pids, status.effective, status.seccomp), (vec![99, 3, 1], 0x8004_05fb, 2));
        assert_eq!(status.resident, 12288);
        assert!(Stat::read(std::process::id().cast_signed()).is_some_and(|own| own.threads > 0));
    }
}
