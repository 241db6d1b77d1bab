//! The user's own line in the container's passwd and group files, for `--userns keep-id`: programs look up who they are.

use super::Request;
use super::process::{account_file, wanted_user};
use crate::engine::container::options::surroundings::expand;
use crate::error::{Context, Error, Kind, Result};
use crate::spec::user::User;
use crate::userns::{self, choice};

/// The files' contents, as far as they differ from the image's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    pub passwd: Option<String>,
    pub group: Option<String>,
}

/// Where the host's users are. A static binary asks nobody else.
const HOST_PASSWD: &str = "/etc/passwd";

/// The lines that do not depend on who the program is: users of the host, and what `keep-id` adds for an id that the image
/// does not know.
pub(super) fn accounts(request: &Request<'_>) -> Result<Accounts> {
    let options = &request.options.surroundings.accounts;
    let mut accounts = if options.none { Accounts::default() } else { own_account(request)? };
    if options.host_users.is_empty() {
        return Ok(accounts);
    }
    let host = std::fs::read_to_string(HOST_PASSWD).context(|| format!("cannot read {HOST_PASSWD}"))?;
    let mut passwd = match &accounts.passwd {
        Some(text) => text.clone(),
        None => account_file(request, "etc/passwd")?,
    };
    for wanted in &options.host_users {
        let line = host.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = line.into_iter().find(|f| f.len() >= 6 && (f[0] == wanted || f[2] == wanted));
        let Some([name, _, uid, gid, comment, home, ..]) = found.as_deref() else {
            return Err(Error::new(format!("cannot add a host user to passwd: user: unknown user {wanted}"))
                .with_kind(Kind::CannotInvoke));
        };
        let id = uid.parse().unwrap_or(u32::MAX);
        if let Some(text) = added(&passwd, name, id, &format!("{name}:*:{uid}:{gid}:{comment}:{home}:/bin/sh")) {
            passwd = text;
        }
    }
    accounts.passwd = Some(passwd);
    Ok(accounts)
}

impl Accounts {
    /// Adds the program's own user and group where they are given by number and the files do not know them. An image
    /// without the files gets none.
    pub(super) fn complete(&mut self, request: &Request<'_>, user: &User) -> Result<()> {
        let options = &request.options.surroundings.accounts;
        let wanted = wanted_user(request).unwrap_or_default();
        if options.none || wanted.is_empty() && options.host_users.is_empty() {
            return Ok(());
        }
        let (uid, gid) = (user.identity.uid, user.identity.gid);
        let current = |own: &Option<String>, file| match own {
            Some(text) => Ok(text.clone()),
            None => account_file(request, file),
        };
        let passwd = current(&self.passwd, "etc/passwd")?;
        if !passwd.is_empty() {
            let (name, comment) = match options.passwd_entry {
                None => host_user(uid).filter(|(name, _)| !names(&passwd, name)),
                Some(_) => None,
            }
            .unwrap_or_else(|| (uid.to_string(), "container user".to_owned()));
            let line = expand(options.passwd_entry.as_deref().unwrap_or(PASSWD_ENTRY), |variable| match variable {
                "USERNAME" => Some(name.clone()),
                "UID" => Some(uid.to_string()),
                "GID" => Some(gid.to_string()),
                "NAME" => Some(comment.clone()),
                "HOME" => Some(home(request).to_owned()),
                _ => None,
            });
            self.passwd = added(&passwd, &name, uid, &line).or(self.passwd.take());
        }
        let group = current(&self.group, "etc/group")?;
        // Without a group's number the user's counts, though the program's group is another: so does Podman.
        let (user, group_wanted) = wanted.split_once(':').unwrap_or((&wanted, &wanted));
        if let Some(gid) = group_wanted.parse::<u32>().ok().filter(|_| !group.is_empty()) {
            let line = expand(options.group_entry.as_deref().unwrap_or(GROUP_ENTRY), |name| match name {
                "GROUPNAME" | "GID" => Some(gid.to_string()),
                "USERLIST" => Some(user.to_owned()),
                _ => None,
            });
            self.group = added(&group, &gid.to_string(), gid, &line).or(self.group.take());
        }
        Ok(())
    }
}

/// Podman's, in the words of `--passwd-entry` and `--group-entry`.
const PASSWD_ENTRY: &str = "$USERNAME:*:$UID:$GID:$NAME:$HOME:/bin/sh";
const GROUP_ENTRY: &str = "$GROUPNAME:x:$GID:$USERLIST";

fn own_account(request: &Request<'_>) -> Result<Accounts> {
    // With other ids inside than the own ones it is a user of the container's.
    let Some(wish) = request.options.userns.keep_id().filter(|wish| wish.uid.is_none() && wish.gid.is_none()) else {
        return Ok(Accounts::default());
    };
    let (uid, gid) = choice::own_id(wish);
    let (passwd, group) = (account_file(request, "etc/passwd")?, account_file(request, "etc/group")?);
    let own = rustix::process::getuid().as_raw();
    let name = userns::user_name(own).unwrap_or_else(|| format!("user{own}"));
    let home = home(request);
    Ok(Accounts {
        passwd: added(&passwd, &name, uid, &format!("{name}:*:{uid}:{gid}::{home}:/bin/sh")),
        group: added(&group, &name, gid, &format!("{name}:x:{gid}:{name}")),
    })
}

/// Of a user that the image does not know: where the program starts.
fn home<'r>(request: &Request<'r>) -> &'r str {
    let image = request.image.map(|image| image.config.working_dir.as_str()).filter(|dir| dir.starts_with('/'));
    request.options.workdir.as_deref().or(image).unwrap_or("/")
}

/// The name and the comment of the host's user with that id.
fn host_user(uid: u32) -> Option<(String, String)> {
    let host = std::fs::read_to_string(HOST_PASSWD).unwrap_or_default();
    let listed = host.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.len() >= 6 && fields[2].parse() == Ok(uid)).then(|| (fields[0].to_owned(), fields[4].to_owned()))
    });
    // A directory service is asked for the caller only.
    let asked = || userns::user_name(uid).filter(|_| uid == rustix::process::getuid().as_raw());
    listed.or_else(|| Some((asked()?, String::new())))
}

/// Whether a file of accounts has the name.
fn names(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.split(':').next() == Some(name))
}

/// `None` when the id or the name is there, or the line would be two.
fn added(text: &str, name: &str, id: u32, line: &str) -> Option<String> {
    let known = text.lines().any(|line| {
        let mut fields = line.split(':');
        fields.next() == Some(name) || fields.nth(1).is_some_and(|field| field.parse() == Ok(id))
    });
    if known || name.contains([':', '\n']) || line.contains('\n') {
        return None;
    }
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    Some(format!("{text}{end}{line}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_an_unknown_id_only() {
        let line = "me:*:7:7::/:/bin/sh";
        for (text, expected) in [
            ("", Some("me:*:7:7::/:/bin/sh\n")),
            ("root:x:0:0::/:/bin/sh", Some("root:x:0:0::/:/bin/sh\nme:*:7:7::/:/bin/sh\n")),
            ("other:x:7:7::/:/bin/sh\n", None),
            ("me:x:9:7::/:/bin/sh\n", None),
        ] {
            assert_eq!(added(text, "me", 7, line).as_deref(), expected, "{text}");
        }
        assert_eq!(added("", "a:b", 7, line), None);
    }
}
