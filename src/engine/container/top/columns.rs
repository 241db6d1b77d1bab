//! The columns: Podman's descriptors with their AIX letters (ps(1), AIX FORMAT DESCRIPTORS), and fields of ps(1).

use std::time::Duration;

use super::{Row, ticks};
use crate::image::duration;
use crate::spec::capabilities::CapSet;
use crate::userns::IdRange;

/// How one column comes about.
pub(super) struct Column {
    /// The name in Podman's help, then others.
    pub names: &'static [&'static str],
    pub heading: &'static str,
    pub(super) value: fn(&Row<'_>) -> String,
}

macro_rules! columns {
    ($([$($name:literal),+] $heading:literal $value:expr;)+) => {
        &[$(Column { names: &[$($name),+], heading: $heading, value: $value },)+]
    };
}

/// Podman's default.
pub(super) const DEFAULT: [&str; 8] = ["user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args"];

pub(super) const DESCRIPTORS: &[Column] = columns! {
    ["args", "%a"] "COMMAND" |row| row.words();
    ["capamb"] "AMBIENT CAPS" |row| caps(row, row.status.ambient);
    ["capbnd"] "BOUNDING CAPS" |row| caps(row, row.status.bounding);
    ["capeff"] "EFFECTIVE CAPS" |row| caps(row, row.status.effective);
    ["capinh"] "INHERITED CAPS" |row| caps(row, row.status.inheritable);
    ["capprm"] "PERMITTED CAPS" |row| caps(row, row.status.permitted);
    ["comm", "%c"] "COMMAND" |row| row.stat.comm.clone();
    ["etime", "%t"] "ELAPSED" |row| duration::written(row.elapsed());
    ["group", "%G"] "GROUP" |row| group(row, row.status.gids[1]);
    ["groups"] "GROUPS" |row| list(row.status.groups.iter().map(|gid| group(row, *gid)));
    ["hgroup"] "HGROUP" |row| row.host.accounts.host_group(row.status.gids[1]);
    ["hgroups"] "HGROUPS" |row| list(row.status.groups.iter().map(|gid| row.host.accounts.host_group(*gid)));
    ["hpid"] "HPID" |row| row.stat.pid.to_string();
    ["huid"] "HUID" |row| row.status.uids[1].to_string();
    ["huser"] "HUSER" |row| row.host.accounts.host_user(row.status.uids[1]);
    ["label"] "LABEL" label;
    ["nice", "%n"] "NI" |row| row.stat.nice.to_string();
    ["pcpu", "%C"] "%CPU" |row| format!("{:.3}", row.cpu());
    ["pgid", "%r"] "PGID" process_group;
    ["pid", "%p"] "PID" |row| row.pid().to_string();
    ["ppid", "%P"] "PPID" |row| row.parent().to_string();
    ["rgroup", "%g"] "RGROUP" |row| group(row, row.status.gids[0]);
    ["rss"] "RSS" |row| (row.status.resident / 1024).to_string();
    ["ruser", "%u"] "RUSER" |row| user(row, row.status.uids[0]);
    ["seccomp"] "SECCOMP" |row| ["disabled", "strict", "filter"].get(usize::from(row.status.seccomp)).unwrap_or(&"?").to_string();
    ["state"] "STATE" |row| row.stat.state.to_string();
    ["stime"] "STIME" |row| began(row, "%Y-%m-%d %H:%M:%S %z %Z");
    ["time", "%x"] "TIME" |row| duration::written(ticks(row.stat.own_ticks));
    ["tty", "%y"] "TTY" tty;
    ["uid"] "UID" |row| inside(&row.host.maps.uids, row.status.uids[1]).to_string();
    ["user", "%U"] "USER" |row| user(row, row.status.uids[1]);
    ["vsz", "%z"] "VSZ" |row| (row.stat.virtual_size / 1024).to_string();
};

/// Fields of `ps -o` with the headings that procps gives them.
pub(super) const FIELDS: &[Column] = columns! {
    ["args", "cmd", "command"] "COMMAND" |row| row.words();
    ["c"] "C" |row| format!("{:.0}", row.cpu());
    ["comm", "ucmd"] "COMMAND" |row| row.stat.comm.clone();
    ["etime"] "ELAPSED" |row| clock(row.elapsed(), true);
    ["etimes"] "ELAPSED" |row| row.elapsed().as_secs().to_string();
    ["gid", "egid"] "GID" |row| inside(&row.host.maps.gids, row.status.gids[1]).to_string();
    ["group", "egroup"] "GROUP" |row| group(row, row.status.gids[1]);
    ["label", "context"] "LABEL" label;
    ["nice", "ni"] "NI" |row| row.stat.nice.to_string();
    ["nlwp", "thcount"] "NLWP" |row| row.stat.threads.to_string();
    ["pcpu", "%cpu"] "%CPU" |row| format!("{:.1}", row.cpu());
    ["pgid", "pgrp"] "PGID" process_group;
    ["pid", "tgid"] "PID" |row| row.pid().to_string();
    ["pmem", "%mem"] "%MEM" |row| memory(row);
    ["ppid"] "PPID" |row| row.parent().to_string();
    ["rgid"] "RGID" |row| inside(&row.host.maps.gids, row.status.gids[0]).to_string();
    ["rgroup"] "RGROUP" |row| group(row, row.status.gids[0]);
    ["rss", "rssize", "rsz"] "RSS" |row| (row.status.resident / 1024).to_string();
    ["ruid"] "RUID" |row| inside(&row.host.maps.uids, row.status.uids[0]).to_string();
    ["ruser"] "RUSER" |row| user(row, row.status.uids[0]);
    ["start", "start_time", "stime", "bsdstart"] "START" |row| began(row, if row.elapsed().as_secs() < 86400 { "%H:%M" } else { "%b%d" });
    ["lstart"] "STARTED" |row| began(row, "%a %b %e %H:%M:%S %Y");
    ["stat", "state", "s"] "STAT" |row| row.stat.state.to_string();
    ["time", "cputime"] "TIME" |row| clock(ticks(row.stat.own_ticks), false);
    ["tty", "tt", "tname"] "TTY" tty;
    ["uid", "euid"] "UID" |row| inside(&row.host.maps.uids, row.status.uids[1]).to_string();
    ["user", "euser", "uname"] "USER" |row| user(row, row.status.uids[1]);
    ["vsz", "vsize"] "VSZ" |row| (row.stat.virtual_size / 1024).to_string();
};

pub(super) fn find(columns: &'static [Column], name: &str) -> Option<&'static Column> {
    columns.iter().find(|column| column.names.contains(&name))
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

fn caps(row: &Row<'_>, mask: u64) -> String {
    let set = CapSet::from_mask(mask);
    match row.status.bounding {
        _ if mask == 0 => "none".to_owned(),
        _ if set == CapSet::every() => "full".to_owned(),
        _ => set.names().join(","),
    }
}

/// A host id as the container's user namespace knows it; ids it does not know are shown by the kernel's overflow id.
fn inside(ranges: &[IdRange], id: u32) -> u32 {
    let range = ranges.iter().find(|range| id.checked_sub(range.host).is_some_and(|offset| offset < range.size));
    range.map_or(65534, |range| range.container + (id - range.host))
}

fn user(row: &Row<'_>, uid: u32) -> String {
    row.host.accounts.user(inside(&row.host.maps.uids, uid))
}

fn group(row: &Row<'_>, gid: u32) -> String {
    row.host.accounts.group(inside(&row.host.maps.gids, gid))
}

fn memory(row: &Row<'_>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let percent = row.status.resident as f64 / row.host.memory.max(1) as f64 * 100.0;
    format!("{percent:.1}")
}

fn process_group(row: &Row<'_>) -> String {
    row.status.process_groups.get(row.host.level).unwrap_or(&0).to_string()
}

/// The security module's label; `?` where there is no module.
fn label(row: &Row<'_>) -> String {
    let text = std::fs::read_to_string(format!("/proc/{}/attr/current", row.stat.pid)).unwrap_or_default();
    let text = text.trim_end_matches(['\0', '\n']);
    if text.is_empty() { "?".to_owned() } else { text.to_owned() }
}

/// The controlling terminal from its device number (admin-guide/devices: 4 ttyN, 5 tty and console, 136 to 143 pts).
fn tty(row: &Row<'_>) -> String {
    let number = row.stat.tty;
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xf_ff00);
    match (major, minor) {
        (0, _) => "?".to_owned(),
        (4, n) => format!("tty{n}"),
        (5, 0) => "tty".to_owned(),
        (5, 1) => "console".to_owned(),
        (136..=143, n) => format!("pts/{}", (major - 136) * 256 + n),
        _ => format!("{major}:{minor}"),
    }
}

fn began(row: &Row<'_>, format: &str) -> String {
    let elapsed = jiff::SignedDuration::try_from(row.elapsed()).unwrap_or_default();
    let began = jiff::Timestamp::now().checked_sub(elapsed).unwrap_or_default();
    began.to_zoned(jiff::tz::TimeZone::system()).strftime(format).to_string()
}

/// `[[DD-]HH:]MM:SS`, the hours always shown unless `short`.
fn clock(time: Duration, short: bool) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    let rest = format!("{minutes:02}:{:02}", seconds % 60);
    match (days, hours) {
        (0, 0) if short => rest,
        (0, _) => format!("{hours:02}:{rest}"),
        _ => format!("{days}-{hours:02}:{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ids() {
        for (seconds, short, wanted) in
            [(59, true, "00:59"), (3600, true, "01:00:00"), (59, false, "00:00:59"), (90_061, false, "1-01:01:01")]
        {
            assert_eq!(clock(Duration::from_secs(seconds), short), wanted);
        }
        let ranges = [IdRange { container: 0, host: 1000, size: 1 }, IdRange { container: 1, host: 100_000, size: 10 }];
        for (host, wanted) in [(1000, 0), (100_000, 1), (100_009, 10), (100_010, 65534), (0, 65534)] {
            assert_eq!(inside(&ranges, host), wanted, "{host}");
        }
    }
}
