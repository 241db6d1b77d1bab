//! How a repository, a revision and a directory in it are written: `URL#REF:DIRECTORY`, or `URL?KEY=VALUE&…` (BuildKit's
//! dfgitutil; Docker's documentation of git contexts).

use crate::error::{Error, Result};

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct GitReference {
    pub repository: String,
    /// A branch, tag or commit; empty for the repository's own choice.
    pub revision: String,
    /// The directory that counts.
    pub below: String,
    /// What the commit has to begin with.
    pub checksum: Option<String>,
    pub keep_git_dir: Option<bool>,
    pub submodules: bool,
}

impl GitReference {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (url, query) = url.split_once('?').unwrap_or((url, ""));
        let (revision, below) = fragment.split_once(':').unwrap_or((fragment, ""));
        let mut found = Self {
            repository: url.to_owned(),
            revision: revision.to_owned(),
            below: below.to_owned(),
            submodules: true,
            ..Self::default()
        };
        let wrong = |why: String| Error::new(format!("{text}: {why}"));
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let switch = || match &*value {
                "" | "1" | "true" => Ok(true),
                "0" | "false" => Ok(false),
                other => Err(wrong(format!("{key}={other}: true and false are known"))),
            };
            let set = |place: &mut String, value: String| match place.is_empty() || *place == value {
                true => {
                    *place = value;
                    Ok(())
                }
                false => Err(wrong(format!("it names both {place} and {value}"))),
            };
            match &*key {
                "ref" => set(&mut found.revision, value.into_owned())?,
                "branch" => set(&mut found.revision, format!("refs/heads/{value}"))?,
                "tag" => set(&mut found.revision, format!("refs/tags/{value}"))?,
                "subdir" => set(&mut found.below, value.into_owned())?,
                "commit" | "checksum" => found.checksum = Some(value.into_owned()),
                "keep-git-dir" => found.keep_git_dir = Some(switch()?),
                "submodules" => found.submodules = switch()?,
                _ => {
                    return Err(wrong(format!("{key}= is not known"))
                        .hint("ref, tag, branch, subdir, commit, checksum, keep-git-dir and submodules are"));
                }
            }
        }
        if found.repository.starts_with('-') || found.revision.starts_with('-') {
            return Err(wrong("it is no repository".to_owned()));
        }
        if found.revision.is_empty()
            && let Some(commit) = found.checksum.as_ref().filter(|commit| commit.len() == 40)
        {
            found.revision.clone_from(commit);
        }
        Ok(found)
    }

    /// Whether it is the commit that was asked for.
    pub(crate) fn check(&self, text: &str, commit: &str) -> Result<()> {
        match self.checksum.as_deref().filter(|wanted| !commit.starts_with(wanted)) {
            Some(wanted) => {
                Err(Error::new(format!("checksum mismatch for {text}: the commit is {commit}, not {wanted}")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let of = |text: &str| GitReference::parse(text).map(|found| (found.repository, found.revision, found.below));
        let wanted =
            |revision: &str, below: &str| ("https://h/r.git".to_owned(), revision.to_owned(), below.to_owned());
        for (text, revision, below) in [
            ("https://h/r.git", "", ""),
            ("https://h/r.git#v1:sub", "v1", "sub"),
            ("https://h/r.git?ref=v1&subdir=sub%20two", "v1", "sub two"),
            ("https://h/r.git?branch=main", "refs/heads/main", ""),
            ("https://h/r.git?tag=v1#:sub", "refs/tags/v1", "sub"),
            ("https://h/r.git?ref=v1#v1", "v1", ""),
        ] {
            assert_eq!(of(text).expect(text), wanted(revision, below), "{text}");
        }
        for text in [
            "https://h/r.git?ref=a#b",
            "https://h/r.git?what=x",
            "https://h/r.git?submodules=perhaps",
            "-x#a",
            "r.git#-a",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
