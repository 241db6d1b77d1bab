//! Whom rpod runs as. `contrib/test` makes the two ordinary users; root can become them, anybody else is who they are.

use std::fmt;
use std::path::Path;
use std::process::Command;

use super::trial::{Stop, skip};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Ordinary, with a subordinate id range and newuidmap.
    Sub,
    /// Ordinary, without any range: single-id maps.
    NoSub,
    Root,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sub => "sub",
            Self::NoSub => "nosub",
            Self::Root => "root",
        })
    }
}

/// The entry in /etc/passwd that stands for a [`User`] in this run.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl User {
    /// Finds the account, or says why this user cannot be had here.
    pub(super) fn account(self) -> Result<Account, Stop> {
        if self == Self::Root {
            return if is_root() {
                Ok(Account { name: "root".to_owned(), uid: 0, gid: 0 })
            } else {
                skip("needs root")
            };
        }
        let account = if is_root() {
            let name = if self == Self::Sub { "rpod-sub" } else { "rpod-nosub" };
            match account_by(|field, _| field == name)? {
                Some(account) => account,
                None => return skip(format!("there is no user {name}: run contrib/test once")),
            }
        } else {
            let uid = rustix::process::geteuid().as_raw();
            match account_by(|_, id| id == uid)? {
                Some(account) => account,
                None => return skip(format!("uid {uid} is not in /etc/passwd")),
            }
        };
        let ranged = has_range(&account)? && (Path::new("/usr/bin/newuidmap").exists());
        match (self, ranged) {
            (Self::Sub, false) => skip(format!("{} has no subordinate range, or newuidmap is missing", account.name)),
            (Self::NoSub, true) => {
                skip(format!("{} has a subordinate range; as root, a user without one", account.name))
            }
            _ => Ok(account),
        }
    }
}

impl Account {
    /// Makes the command run as this account.
    pub(super) fn become_in(&self, command: &mut Command) {
        use std::os::unix::process::CommandExt;
        if is_root() && self.uid != 0 {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives the account a file or directory made by the harness.
    pub(super) fn own(&self, path: &Path) -> std::io::Result<()> {
        if is_root() { std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }
}

fn account_by(wanted: impl Fn(&str, u32) -> bool) -> std::io::Result<Option<Account>> {
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    Ok(passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (name, uid, gid) = (*fields.first()?, fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        wanted(name, uid).then(|| Account { name: name.to_owned(), uid, gid })
    }))
}

fn has_range(account: &Account) -> std::io::Result<bool> {
    let Ok(subuid) = std::fs::read_to_string("/etc/subuid") else { return Ok(false) };
    let uid = account.uid.to_string();
    Ok(subuid.lines().any(|line| line.split(':').next().is_some_and(|owner| owner == account.name || owner == uid)))
}
