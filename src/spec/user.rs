//! Who the program runs as: `NAME|UID[:GROUP|GID]` looked up in the root file system's own passwd and group files.
//!
//! The files come from an image and may hold anything; lines that are no entries are passed over, as the C library does.

use super::settings::Identity;
use crate::error::{Error, Kind, Result};

/// The largest id that Docker and Podman take.
const LARGEST: u32 = i32::MAX as u32;

/// A user of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub identity: Identity,
    /// From passwd; `/` for an id that is not in it.
    pub home: String,
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Looks up `wanted` (empty: root) and the `extra` groups; `passwd` and `group` are the files' contents.
///
/// # Errors
/// Of kind `CannotInvoke`, as Podman's exit code says, for names that are not in the files and ids out of range.
pub(crate) fn resolve(wanted: &str, extra: &[String], passwd: &str, group: &str) -> Result<User> {
    let (user, primary) = match wanted.split_once(':') {
        Some((user, primary)) => (user, Some(primary).filter(|p| !p.is_empty())),
        None => (wanted, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = number(user)?;
    // Like the C library, a name that looks like a number is tried as a name first.
    let entry = passwd_entries(passwd)
        .find(|entry| entry.name == user)
        .or_else(|| passwd_entries(passwd).find(|entry| Some(entry.uid) == number));
    let (uid, mut gid) = match (&entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid),
        (None, Some(uid)) => (uid, 0),
        (None, None) => return Err(failed(format!("unable to find user {user}: no matching entries in passwd file"))),
    };
    let mut groups = Vec::new();
    if let Some(primary) = primary {
        gid = find_group(primary, group)?;
    } else if let Some(entry) = &entry {
        groups.extend(group_entries(group).filter(|g| g.members.split(',').any(|m| m == entry.name)).map(|g| g.gid));
    }
    for name in extra {
        groups.push(find_group(name, group)?);
    }
    if !wanted.is_empty() || !extra.is_empty() {
        // A program that gives up its primary group must not gain by it (CVE-2022-36109).
        groups.push(gid);
    }
    let mut seen = Vec::with_capacity(groups.len());
    groups.retain(|gid| {
        !seen.contains(gid) && {
            seen.push(*gid);
            true
        }
    });
    if uid > LARGEST || gid > LARGEST {
        return Err(out_of_range());
    }
    let home = entry.map(|e| e.home).filter(|home| home.starts_with('/')).unwrap_or("/").to_owned();
    Ok(User { identity: Identity { uid, gid, groups }, home })
}

/// Ids and names of a passwd or group file, which have both in the same places.
pub(crate) fn names(text: &str) -> impl Iterator<Item = (u32, &str)> {
    group_entries(text).map(|entry| (entry.gid, entry.name))
}

fn find_group(wanted: &str, group: &str) -> Result<u32> {
    let number = number(wanted)?;
    group_entries(group)
        .find(|entry| entry.name == wanted)
        .map(|entry| entry.gid)
        .or(number)
        .ok_or_else(|| failed(format!("unable to find group {wanted}: no matching entries in group file")))
}

/// `None` for a name.
fn number(text: &str) -> Result<Option<u32>> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    text.parse().ok().filter(|id| *id <= LARGEST).map(Some).ok_or_else(out_of_range)
}

fn out_of_range() -> Error {
    failed(format!("uids and gids must be in range 0-{LARGEST}"))
}

fn failed(what: String) -> Error {
    Error::new(what).with_kind(Kind::CannotInvoke)
}

fn passwd_entries(text: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let (_password, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1).unwrap_or_default();
        Some(PasswdEntry { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    })
}

fn group_entries(text: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let (_password, gid) = (fields.next()?, fields.next()?);
        Some(GroupEntry { name, gid: gid.parse().ok()?, members: fields.next().unwrap_or_default() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# c\nbad\nbob:x:1000:1001:Bob:/home/bob:/bin/sh\n\
                          42:x:7:8::/n:\nnohome:x:9:9\nbig:x:4294967295:0::/:\n";
    const GROUP: &str = "root:x:0:\nbob:x:1001:\naudio:x:29:bob\nextra:x:50:bob,root\nextra2:x:50:bob\n";

    #[test]
    fn users_and_groups() {
        for (wanted, extra, uid, gid, groups, home) in [
            ("", vec![], 0, 0, vec![50], "/root"),
            ("root", vec![], 0, 0, vec![50, 0], "/root"),
            ("bob", vec![], 1000, 1001, vec![29, 50, 1001], "/home/bob"),
            ("1000", vec!["audio", "77"], 1000, 1001, vec![29, 50, 77, 1001], "/home/bob"),
            ("bob:29", vec!["audio"], 1000, 29, vec![29], "/home/bob"),
            ("bob:", vec![], 1000, 1001, vec![29, 50, 1001], "/home/bob"),
            (":audio", vec![], 0, 29, vec![29], "/root"),
            ("5", vec![], 5, 0, vec![0], "/"),
            ("5:6", vec![], 5, 6, vec![6], "/"),
            ("42", vec![], 7, 8, vec![8], "/n"),
            ("nohome", vec![], 9, 9, vec![9], "/"),
        ] {
            let extra: Vec<String> = extra.into_iter().map(str::to_owned).collect();
            let user = resolve(wanted, &extra, PASSWD, GROUP).expect(wanted);
            assert_eq!(user.identity, Identity { uid, gid, groups }, "{wanted}");
            assert_eq!(user.home, home, "{wanted}");
        }
    }

    #[test]
    fn unknown_names_and_ids() {
        for (wanted, extra, message) in [
            ("nosuch", "0", "unable to find user nosuch: no matching entries in passwd file"),
            ("bob:nosuch", "0", "unable to find group nosuch: no matching entries in group file"),
            ("1:2:3", "0", "unable to find group 2:3: no matching entries in group file"),
            ("0", "nosuch", "unable to find group nosuch: no matching entries in group file"),
            ("4294967296", "0", "uids and gids must be in range 0-2147483647"),
            ("big", "0", "uids and gids must be in range 0-2147483647"),
            ("0", "4294967295", "uids and gids must be in range 0-2147483647"),
        ] {
            let error = resolve(wanted, &[extra.to_owned()], PASSWD, GROUP).expect_err(wanted);
            assert_eq!(error.to_string(), message);
            assert_eq!(error.kind(), Kind::CannotInvoke);
        }
        assert_eq!(resolve("3", &[], "", "").expect("a number needs no file").identity.uid, 3);
    }
}
