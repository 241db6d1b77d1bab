//! `--userns`, `--uidmap`, `--gidmap`, `--subuidname`, `--subgidname` as typed → [`UserNamespace`].

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::userns::choice::{Auto, Choice, Entry, KeepId};

/// Where the container's user namespace comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UserNamespace {
    /// A new one with these ids.
    New(Choice),
    /// That of another container, by name or id.
    Container(String),
    /// One that is kept at a path.
    Path(PathBuf),
}

impl Default for UserNamespace {
    fn default() -> Self {
        Self::New(Choice::Whole)
    }
}

impl UserNamespace {
    pub(crate) fn keep_id(&self) -> Option<&KeepId> {
        match self {
            Self::New(Choice::KeepId(wish)) => Some(wish),
            _ => None,
        }
    }
}

/// The flags together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags<'a> {
    pub mode: Option<&'a str>,
    pub uidmap: &'a [String],
    pub gidmap: &'a [String],
    pub subuidname: Option<&'a str>,
    pub subgidname: Option<&'a str>,
}

pub(crate) fn user_namespace(flags: Flags<'_>) -> Result<UserNamespace> {
    let Flags { mode, uidmap, gidmap, subuidname, subgidname } = flags;
    let maps = !uidmap.is_empty() || !gidmap.is_empty();
    let names = subuidname.is_some() || subgidname.is_some();
    let given = mode.filter(|mode| !mode.is_empty());
    if (maps || names) && !matches!(given, None | Some("private")) {
        return Err(Error::new("--userns and --uidmap/--gidmap/--subuidname/--subgidname are mutually exclusive"));
    }
    if names {
        if maps {
            return Err(Error::new("--subuidname/--subgidname and --uidmap/--gidmap cannot be used together")
                .hint("ids of the host can be given to --uidmap with @"));
        }
        let name = |own: Option<&str>, other: Option<&str>| own.or(other).unwrap_or_default().to_owned();
        let (users, groups) = (name(subuidname, subgidname), name(subgidname, subuidname));
        return Ok(UserNamespace::New(Choice::Named { users, groups }));
    }
    if maps {
        return explicit(uidmap, gidmap).map(UserNamespace::New);
    }
    let (name, rest) = match given.unwrap_or_default().split_once(':') {
        Some((name, rest)) => (name, Some(rest)),
        None => (given.unwrap_or_default(), None),
    };
    let unknown = || Error::new(format!("unrecognized namespace mode {} passed", given.unwrap_or_default()));
    match (name, rest) {
        // Rootless, the host's user namespace is the one with the user's map, as with Podman.
        ("" | "host", None) => Ok(UserNamespace::default()),
        ("private", None) => {
            Err(Error::new("must provide at least one UID or GID mapping to configure a user namespace"))
        }
        ("nomap", None) => Ok(UserNamespace::New(Choice::NoMap)),
        ("keep-id", rest) => keep_id(rest.unwrap_or_default()).map(|wish| UserNamespace::New(Choice::KeepId(wish))),
        ("auto", rest) => auto(rest.unwrap_or_default()).map(|wish| UserNamespace::New(Choice::Auto(wish))),
        ("container", Some(id)) if !id.is_empty() => Ok(UserNamespace::Container(id.to_owned())),
        ("container", _) => Err(Error::new("must provide a path to a namespace when specifying \"container:\"")
            .hint("the name or id of a container belongs behind the colon")),
        ("ns", Some(path)) if !path.is_empty() => existing(path).map(UserNamespace::Path),
        ("ns", _) => Err(Error::new("must provide a path to a namespace when specifying \"ns:\"")),
        _ => Err(unknown()),
    }
}

/// `ns:PATH` must be there.
fn existing(path: &str) -> Result<PathBuf> {
    match std::fs::metadata(path) {
        Ok(_) => std::path::absolute(path).map_err(|e| Error::wrap(format!("cannot use {path}"), e)),
        Err(e) => Err(Error::wrap("cannot find specified user namespace path", e).hint(path.to_owned())),
    }
}

/// `NAME=VALUE,…`
fn options(text: &str, mut take: impl FnMut(&str, &str) -> Result<bool>) -> Result<()> {
    for option in text.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').ok_or_else(|| {
            Error::new(format!("invalid option specified: {option:?}")).hint("options are NAME=VALUE")
        })?;
        if !take(name, value)? {
            return Err(Error::new(format!("unknown option specified: {name:?}")));
        }
    }
    Ok(())
}

fn number(text: &str) -> Result<u32> {
    text.parse()
        .map_err(|_| Error::new(format!("parsing {text:?}: invalid syntax, a number from 0 to 4294967295 is wanted")))
}

fn keep_id(text: &str) -> Result<KeepId> {
    let mut wish = KeepId::default();
    options(text, |name, value| {
        match name {
            "uid" => wish.uid = Some(number(value)?),
            "gid" => wish.gid = Some(number(value)?),
            // 0 is no limit.
            "size" => wish.size = Some(number(value)?).filter(|size| *size > 0),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(wish)
}

fn auto(text: &str) -> Result<Auto> {
    let mut wish = Auto::default();
    options(text, |name, value| {
        match name {
            "size" => wish.size = Some(number(value)?).filter(|size| *size > 0),
            "uidmapping" => wish.uids.push(entry(value, "UID")?.0),
            "gidmapping" => wish.gids.push(entry(value, "GID")?.0),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(wish)
}

/// A list that is not given is what the other one says, as far as its entries are not for one of them only.
fn explicit(uidmap: &[String], gidmap: &[String]) -> Result<Choice> {
    let parse = |texts: &[String], what: &str| -> Result<Vec<(Entry, Only)>> {
        texts.iter().map(|text| entry(text, what)).collect()
    };
    let (uids, gids) = (parse(uidmap, "UID")?, parse(gidmap, "GID")?);
    let pick = |list: &[(Entry, Only)], unwanted: Only| {
        list.iter().filter(|(_, only)| *only != unwanted).map(|(entry, _)| *entry).collect::<Vec<_>>()
    };
    Ok(Choice::Explicit {
        uids: if uids.is_empty() { pick(&gids, Only::Groups) } else { pick(&uids, Only::Groups) },
        gids: if gids.is_empty() { pick(&uids, Only::Users) } else { pick(&gids, Only::Users) },
    })
}

/// The `u` and `g` flags of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    Both,
    Users,
    Groups,
}

/// `[+ug]CONTAINER:[@]PARENT[:SIZE]`.
fn entry(text: &str, what: &str) -> Result<(Entry, Only)> {
    let malformed = || {
        Error::new(format!(
            "initializing ID mappings: {what} setting is malformed expected [\"[+ug]uint32:[@]uint32[:uint32]\"] : [{text:?}]"
        ))
    };
    let numbers = text.trim_start_matches(['+', 'u', 'g']);
    let flags = &text[..text.len() - numbers.len()];
    let mut fields = numbers.split(':');
    let mut next = || fields.next();
    let (container, parent, size) = (next().unwrap_or_default(), next().ok_or_else(malformed)?, next());
    if next().is_some() {
        return Err(malformed());
    }
    let parse = |text: &str| text.parse::<u32>().map_err(|_| malformed());
    let id = parent.strip_prefix('@');
    let size = size.map_or(Ok(1), parse)?;
    if size == 0 {
        return Err(malformed());
    }
    let only = match (flags.contains('u'), flags.contains('g')) {
        (true, false) => Only::Users,
        (false, true) => Only::Groups,
        _ => Only::Both,
    };
    let entry = Entry {
        container: parse(container)?,
        parent: parse(id.unwrap_or(parent))?,
        size,
        host: id.is_some(),
        extend: flags.contains('+'),
    };
    Ok((entry, only))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let read = |mode: &str| user_namespace(Flags { mode: Some(mode), ..Flags::default() });
        for (mode, expected) in [
            ("", Choice::Whole),
            ("host", Choice::Whole),
            ("nomap", Choice::NoMap),
            ("keep-id", Choice::KeepId(KeepId::default())),
            ("keep-id:uid=5,gid=6", Choice::KeepId(KeepId { uid: Some(5), gid: Some(6), size: None })),
            ("keep-id:size=0", Choice::KeepId(KeepId::default())),
            ("auto", Choice::Auto(Auto::default())),
            ("auto:size=7", Choice::Auto(Auto { size: Some(7), ..Auto::default() })),
        ] {
            assert_eq!(read(mode).expect(mode), UserNamespace::New(expected), "{mode}");
        }
        assert_eq!(read("container:x").expect("known"), UserNamespace::Container("x".to_owned()));
        for (mode, message) in [
            ("foo", "unrecognized namespace mode foo passed"),
            ("host:x", "unrecognized namespace mode host:x passed"),
            ("private", "must provide at least one UID or GID mapping to configure a user namespace"),
            ("keep-id:foo=1", "unknown option specified: \"foo\""),
            ("keep-id:uid", "invalid option specified: \"uid\""),
            ("keep-id:uid=x", "parsing \"x\": invalid syntax"),
            ("keep-id:uid=-1", "parsing \"-1\": invalid syntax"),
            ("auto:foo=1", "unknown option specified: \"foo\""),
            ("auto:uidmapping=1", "initializing ID mappings: UID setting is malformed"),
            ("container:", "must provide a path to a namespace"),
            ("ns:/nonexist", "cannot find specified user namespace path: No such file"),
        ] {
            let error = read(mode).expect_err(mode).to_string();
            assert!(error.starts_with(message), "{mode}: {error}");
        }
    }

    #[test]
    fn maps() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let read = |uids: &[&str], gids: &[&str]| {
            user_namespace(Flags { uidmap: &list(uids), gidmap: &list(gids), ..Flags::default() }).map(|ns| {
                let UserNamespace::New(Choice::Explicit { uids, gids }) = ns else { return String::new() };
                let show = |list: Vec<Entry>| {
                    let one = |e: Entry| {
                        let (plus, at) = (if e.extend { "+" } else { "" }, if e.host { "@" } else { "" });
                        format!("{plus}{}:{at}{}:{}", e.container, e.parent, e.size)
                    };
                    list.into_iter().map(one).collect::<Vec<_>>().join(",")
                };
                format!("{} / {}", show(uids), show(gids))
            })
        };
        for (uids, gids, expected) in [
            (&["0:1:10"][..], &[][..], "0:1:10 / 0:1:10"),
            (&["u+5:0"], &[], "+5:0:1 / "),
            (&["+g5:0", "7:@8"], &[], "7:@8:1 / +5:0:1,7:@8:1"),
            (&[], &["0:0:9"], "0:0:9 / 0:0:9"),
            (&["0:1:2"], &["0:3:4"], "0:1:2 / 0:3:4"),
        ] {
            assert_eq!(read(uids, gids).expect("maps"), expected);
        }
        for bad in ["x", "1", "1:2:3:4", "1:-2:3", "1:2:0", "@1:2:3", "4294967296:0:1", ":1:1", "+:1:1"] {
            let error = read(&[bad], &[]).expect_err(bad).to_string();
            assert!(error.starts_with("initializing ID mappings: UID setting is malformed"), "{error}");
        }
        let flags = Flags { mode: Some("keep-id"), subuidname: Some("x"), ..Flags::default() };
        assert!(user_namespace(flags).is_err());
    }
}
