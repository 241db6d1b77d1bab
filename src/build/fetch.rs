//! ADD and contexts from elsewhere: which of them are URLs and which git repositories (`git`), and what URLs have.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::build::context::digest::hash;
use crate::engine::images::apart;
use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::registry;

/// `https://…`, `http://…`.
pub(crate) fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// A repository: `git@…`, `git://`, `ssh://`, `github.com/…`, or a URL whose path ends in `.git` (BuildKit's gitutil).
pub(crate) fn is_git(text: &str) -> bool {
    let path = text.split(['#', '?']).next().unwrap_or(text);
    text.starts_with("git@")
        || text.starts_with("git://")
        || text.starts_with("ssh://")
        || text.starts_with("github.com/")
        || is_url(text) && path.trim_end_matches('/').ends_with(".git")
}

/// The name that a downloaded file gets.
pub(crate) fn file_name(url: &str) -> Result<String> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let (_, rest) = path.split_once("://").unwrap_or(("", path));
    let name = rest.split_once('/').map_or("", |(_, path)| path).rsplit('/').next().unwrap_or_default();
    match name {
        "" | "." | ".." => Err(Error::new(format!("cannot determine filename from url: {url}"))
            .hint("write the whole name of the destination")),
        name => Ok(name.to_owned()),
    }
}

/// Downloads to the new file `to`; answers the content's digest, which must be `checksum` if that is given.
pub(crate) fn url(url: &str, to: &Path, checksum: Option<&str>) -> Result<Digest> {
    let wanted = checksum.map(str::parse::<Digest>).transpose().context(|| "invalid --checksum")?;
    apart("downloads", || {
        let failed = || format!("cannot write {}", to.display());
        let mut file = File::create_new(to).context(failed)?;
        let found = registry::download(url, &mut file)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).context(failed)?;
        let time = found.modified.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(time);
        file.set_modified(time).context(failed)
    })?;
    let digest = File::open(to).and_then(hash).context(|| format!("cannot read {}", to.display()))?;
    let digest = Digest::from_bytes(digest);
    match wanted {
        Some(wanted) if wanted != digest => {
            Err(Error::new(format!("digest mismatch for {url}: the content is {digest}, not {wanted}")))
        }
        _ => Ok(digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        for (text, git, url) in [
            ("https://a/b.tar", false, true),
            ("https://a/b.git", true, true),
            ("https://a/b.git#v1:sub", true, true),
            ("git@a:b", true, false),
            ("ssh://git@a/b", true, false),
            ("github.com/a/b", true, false),
            ("a.git", false, false),
            ("dir/a", false, false),
        ] {
            assert_eq!((is_git(text), is_url(text)), (git, url), "{text}");
        }
        assert_eq!(file_name("https://a/b/c.txt?x=1").expect("name"), "c.txt");
        assert!(file_name("https://a/").is_err() && file_name("https://a").is_err());
    }
}
