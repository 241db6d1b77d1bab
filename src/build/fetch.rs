//! ADD and contexts from elsewhere: URLs, and git repositories through the git program.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::FileType;

use crate::build::context::digest::hash;
use crate::build::context::ignore::clean;
use crate::build::context::select::Root;
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
    let path = text.split('#').next().unwrap_or(text);
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

/// What git may use of the user's own to reach a repository.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rights<'a> {
    /// Everything: the user named the repository.
    User,
    /// A Dockerfile did, which may be somebody else's: of the user's configuration, passwords and keys nothing but the
    /// agent of `--ssh`.
    Agent(Option<&'a Path>),
}

impl Rights<'_> {
    fn restrict(self, git: &mut Command) {
        let Self::Agent(agent) = self else { return };
        // The configuration names helpers that give passwords; a password may also be in ~/.netrc.
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", "/nonexistent").env_remove("XDG_CONFIG_HOME");
        for variable in
            ["GIT_ASKPASS", "SSH_ASKPASS", "SSH_AUTH_SOCK", "GIT_SSH", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"]
        {
            git.env_remove(variable);
        }
        // ssh takes the home from the accounts, so its keys are named: none.
        let ssh = "ssh -F /dev/null -o IdentityFile=none -o BatchMode=yes";
        match agent {
            Some(socket) => git.env("SSH_AUTH_SOCK", socket).env("GIT_SSH_COMMAND", ssh),
            None => git.env("GIT_SSH_COMMAND", format!("{ssh} -o IdentityAgent=none -o PreferredAuthentications=none")),
        };
    }
}

/// Checks `URL[#REF[:DIRECTORY]]` out into the empty directory `to`; answers the commit and where the directory is.
pub(crate) fn git(text: &str, to: &Path, keep_git_dir: bool, rights: Rights<'_>) -> Result<(String, PathBuf)> {
    let (repository, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (reference, below) = fragment.split_once(':').unwrap_or((fragment, ""));
    if repository.starts_with('-') || reference.starts_with('-') {
        return Err(Error::new(format!("{text}: it is no repository")));
    }
    let repository = match repository.starts_with("github.com/") {
        true => &format!("https://{repository}"),
        false => repository,
    };
    let commit = checkout(text, repository, reference, to, rights)?;
    if !keep_git_dir {
        crate::storage::remove_path(&to.join(".git"))?;
    }
    // A link of the repository must not lead out of it.
    let below = clean(&format!("/{below}"));
    let found = Root::open(to)?.resolve(below.trim_start_matches('/').as_bytes());
    let missing = || Error::new(format!("the repository {repository} has no directory {below}"));
    let (path, stat) = found.context(|| "cannot read the repository")?.ok_or_else(missing)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(missing());
    }
    Ok((commit, to.join(OsStr::from_bytes(&path))))
}

fn checkout(text: &str, repository: &str, reference: &str, to: &Path, rights: Rights<'_>) -> Result<String> {
    let run = |words: &[&str]| -> Result<String> {
        let failed = || format!("git {} failed", words.first().copied().unwrap_or_default());
        let mut git = Command::new("git");
        git.current_dir(to)
            .args(["-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null", "-c", "init.defaultBranch=main"])
            .args(words)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null());
        rights.restrict(&mut git);
        let output = git.output().context(failed).map_err(|e| e.hint("install git"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let error = Error::wrap(format!("cannot fetch {text}"), Error::new(said));
            return Err(match rights {
                Rights::User => error,
                Rights::Agent(_) => error.hint(
                    "a Dockerfile gets none of your passwords and keys: give it an SSH agent with --ssh default, or the \
                     repository with --build-context",
                ),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    run(&["init", "--quiet", "."])?;
    let wanted = if reference.is_empty() { "HEAD" } else { reference };
    if run(&["fetch", "--quiet", "--depth=1", "--no-tags", "--", repository, wanted]).is_ok() {
        run(&["checkout", "--quiet", "--detach", "FETCH_HEAD", "--"])?;
    } else {
        // A commit that no branch points at, or a server that gives everything only.
        let heads = ["+HEAD:refs/remotes/origin/HEAD", "+refs/heads/*:refs/remotes/origin/*"];
        run(&["fetch", "--quiet", "--tags", "--", repository, heads[0], heads[1]])?;
        let branch = format!("refs/remotes/origin/{wanted}");
        let wanted = if run(&["rev-parse", "--verify", "--quiet", &branch]).is_ok() { &branch } else { wanted };
        run(&["checkout", "--quiet", "--detach", wanted, "--"])?;
    }
    run(&["submodule", "update", "--quiet", "--init", "--recursive", "--depth=1"])?;
    run(&["rev-parse", "HEAD"])
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
