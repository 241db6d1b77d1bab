//! The user's own line in the container's passwd and group files, for `--userns keep-id`: programs look up who they are.

use super::Request;
use super::process::account_file;
use crate::error::Result;
use crate::userns::{self, choice};

/// The files' contents, as far as they differ from the image's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    pub passwd: Option<String>,
    pub group: Option<String>,
}

/// What `keep-id` adds for an id that the image does not know.
pub(super) fn accounts(request: &Request<'_>) -> Result<Accounts> {
    let Some(wish) = request.options.userns.keep_id() else { return Ok(Accounts::default()) };
    let (uid, gid) = choice::own_id(wish);
    let (passwd, group) = (account_file(request, "etc/passwd")?, account_file(request, "etc/group")?);
    let own = rustix::process::getuid().as_raw();
    let name = userns::user_name(own).unwrap_or_else(|| format!("user{own}"));
    let image = request.image.map(|image| image.config.working_dir.as_str()).filter(|dir| dir.starts_with('/'));
    let home = request.options.workdir.as_deref().or(image).unwrap_or("/");
    Ok(Accounts {
        passwd: added(&passwd, &name, uid, &format!("{name}:*:{uid}:{gid}::{home}:/bin/sh")),
        group: added(&group, &name, gid, &format!("{name}:x:{gid}:{name}")),
    })
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
