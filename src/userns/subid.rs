//! Which ids a user may map besides their own (subuid(5)).
//!
//! Asked in this order: /etc/subuid and /etc/subgid by name and by number; then, where nsswitch.conf names another
//! source (LDAP, sssd), `getsubids`. What is found here is a wish only: newuidmap checks it again with its privileges.

use std::process::Command;

use crate::error::{Error, Result};

pub(super) const SUBUID: &str = "/etc/subuid";
pub(super) const SUBGID: &str = "/etc/subgid";

/// Start and size of each range.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    pub uids: Vec<(u32, u32)>,
    pub gids: Vec<(u32, u32)>,
}

/// The ranges of the user `uid`. Files that do not exist or cannot be read hold none.
pub(super) fn ranges(uid: u32) -> Result<Ranges> {
    let number = uid.to_string();
    let name = user_name(uid);
    let owners: Vec<&str> = [name.as_deref(), Some(&number)].into_iter().flatten().collect();
    let read =
        |path| std::fs::read(path).map(|text| parse(&String::from_utf8_lossy(&text), &owners)).unwrap_or_default();
    let mut found = Ranges { uids: read(SUBUID), gids: read(SUBGID) };
    if (found.uids.is_empty() || found.gids.is_empty()) && has_other_source() {
        let owner = name.as_deref().unwrap_or(&number);
        found = Ranges { uids: getsubids(&[owner]), gids: getsubids(&["-g", owner]) };
    }
    Ok(found)
}

/// The ranges that /etc/subuid or /etc/subgid has for a name, as `--subuidname` wants them.
pub(super) fn of_name(name: &str, groups: bool) -> Result<Vec<(u32, u32)>> {
    let file = if groups { SUBGID } else { SUBUID };
    let text = std::fs::read(file).unwrap_or_default();
    let found = parse(&String::from_utf8_lossy(&text), &[name]);
    if found.is_empty() {
        let kind = if groups { "subgid" } else { "subuid" };
        return Err(Error::new(format!("no {kind} ranges found for user {name:?} in {file}")));
    }
    Ok(found)
}

/// `owner:start:count` lines; lines of others and malformed ones are passed over, as shadow does.
fn parse(text: &str, owners: &[&str]) -> Vec<(u32, u32)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let owner = fields.next()?;
            if !owners.contains(&owner) {
                return None;
            }
            range(fields.next()?, fields.next()?)
        })
        .collect()
}

fn range(start: &str, count: &str) -> Option<(u32, u32)> {
    let (start, count): (u32, u32) = (start.trim().parse().ok()?, count.trim().parse().ok()?);
    // The kernel refuses ranges that reach the invalid id (uid_t)-1.
    (count > 0 && start.checked_add(count).is_some()).then_some((start, count))
}

/// The account's name: /etc/passwd, else what the login session says. A static executable has no NSS, and a wrong name
/// from the environment costs only an error message of newuidmap, which compares it with the real user.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
    let passwd = String::from_utf8_lossy(&passwd);
    let known = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    known.or_else(|| ["USER", "LOGNAME"].iter().find_map(|v| std::env::var(v).ok()).filter(|name| !name.is_empty()))
}

/// Whether `subid:` in nsswitch.conf names anything but files.
fn has_other_source() -> bool {
    std::fs::read_to_string("/etc/nsswitch.conf").is_ok_and(|text| names_other_source(&text))
}

fn names_other_source(nsswitch: &str) -> bool {
    nsswitch
        .lines()
        .filter_map(|line| line.split('#').next()?.trim().strip_prefix("subid:"))
        .any(|sources| sources.split_ascii_whitespace().any(|source| source != "files"))
}

/// `getsubids` prints `0: owner start count` per range; without it, or without ranges, there are none.
fn getsubids(args: &[&str]) -> Vec<(u32, u32)> {
    let Ok(output) = Command::new("getsubids").args(args).stdin(std::process::Stdio::null()).output() else {
        return Vec::new();
    };
    parse_getsubids(&String::from_utf8_lossy(&output.stdout))
}

fn parse_getsubids(text: &str) -> Vec<(u32, u32)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(2);
            range(fields.next()?, fields.next()?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_by_name_and_number() {
        let text = "joe:100000:65536\n1000:300000:1\nann:1:1\njoe:x:1\njoe\n\njoe:5:0\njoe:4294967295:2\n";
        assert_eq!(parse(text, &["joe", "1000"]), [(100_000, 65_536), (300_000, 1)]);
        assert_eq!(parse(text, &["bob"]), []);
    }

    #[test]
    fn getsubids_output() {
        assert_eq!(parse_getsubids("0: joe 100000 65536\n1: joe 7 1\n"), [(100_000, 65_536), (7, 1)]);
        assert_eq!(parse_getsubids("Error fetching ranges\n"), []);
    }

    #[test]
    fn nsswitch_sources() {
        for (text, other) in [
            ("passwd: files sss\n", false),
            ("subid: files\n", false),
            ("# subid: sss\n", false),
            ("subid:\tsss files # ldap\n", true),
        ] {
            assert_eq!(names_other_source(text), other, "{text}");
        }
    }
}
