//! Where a copy goes: the table of docker-cp(1).
//!
//! ```text
//! source      destination      result
//! file        missing          becomes that file; with a slash at its end it should have been a directory: refused
//! file        file             is replaced
//! file        directory        goes into it
//! directory   missing          becomes that directory
//! directory   file             refused
//! directory   directory        goes into it; with /. at the source's end, what is in the source does
//! ```

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Found {
    Missing,
    File,
    Directory,
}

/// The directory that is written to, and what the source is called there; nothing when its content goes straight into it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub directory: String,
    pub name: String,
}

/// `source` and `destination` are the paths as typed, `real` is the destination without links at its end. `shown` says
/// where the destination is, for messages.
pub(super) fn target(source: (&str, Found), destination: (&str, Found), real: &str, shown: &str) -> Result<Target> {
    let (parent, name) = super::inside::split(real);
    let itself = || Target { directory: parent.to_owned(), name: name.to_owned() };
    let into = |name: &str| Target { directory: real.to_owned(), name: name.to_owned() };
    let (path, there) = destination;
    match (source.1, there) {
        (Found::Missing, _) => Err(Error::new(format!("{:?} could not be found", source.0))),
        (Found::File, Found::Missing) if path.ends_with('/') => Err(missing(path, shown)),
        (Found::File, Found::File) if path.ends_with('/') => {
            Err(Error::new(format!("{path:?} {shown} exists but is not a directory")))
        }
        (Found::File | Found::Directory, Found::Missing) | (Found::File, Found::File) => Ok(itself()),
        (Found::Directory, Found::File) => Err(Error::new("destination must be a directory when copying a directory")),
        (Found::Directory, Found::Directory) if content_only(source.0) => Ok(into("")),
        (_, Found::Directory) => Ok(into(last_name(source.0))),
    }
}

pub(super) fn missing(path: &str, shown: &str) -> Error {
    Error::new(format!("{path:?} could not be found {shown}: no such file or directory")).with_kind(Kind::NoSuchObject)
}

/// The path means what is in the directory: it ends with `/.`, or has no name to keep.
fn content_only(path: &str) -> bool {
    path.ends_with("/.") || matches!(last_name(path), "" | "." | "..")
}

pub(super) fn last_name(path: &str) -> &str {
    let path = path.trim_end_matches("/.").trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        use Found::{Directory, File, Missing};
        let cases = [
            (("f", File), ("/x/new", Missing), Some(("/x", "new"))),
            (("f", File), ("/x/new/", Missing), None),
            (("a/f", File), ("/x/old", File), Some(("/x", "old"))),
            (("a/f", File), ("/x/old/", File), None),
            (("a/f", File), ("/x", Directory), Some(("/x", "f"))),
            (("a/f", File), ("/x/", Directory), Some(("/x/", "f"))),
            (("a/d", Directory), ("/x/new", Missing), Some(("/x", "new"))),
            (("a/d/", Directory), ("/x/new/", Missing), Some(("/x", "new"))),
            (("a/d/.", Directory), ("/x/new", Missing), Some(("/x", "new"))),
            (("a/d", Directory), ("/x/f", File), None),
            (("a/d", Directory), ("/x", Directory), Some(("/x", "d"))),
            (("a/d/", Directory), ("/x", Directory), Some(("/x", "d"))),
            (("a/d/.", Directory), ("/x", Directory), Some(("/x", ""))),
            ((".", Directory), ("/x", Directory), Some(("/x", ""))),
            (("/", Directory), ("/", Directory), Some(("/", ""))),
            (("..", Directory), ("/x", Directory), Some(("/x", ""))),
            (("nothing", Missing), ("/x", Directory), None),
        ];
        for (source, destination, expected) in cases {
            let found = target(source, destination, destination.0, "here").ok();
            let expected = expected.map(|(directory, name)| Target { directory: directory.into(), name: name.into() });
            assert_eq!(found, expected, "{source:?} to {destination:?}");
        }
    }
}
