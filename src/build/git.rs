//! Git repositories, through the git program: for ADD and as contexts.
//!
//! Whoever named the repository decides what git may use of the user's own ([`Rights`]). Its submodules were named by its
//! author: they are fetched with the same rights where they lie on the same host, else with none but the agent of `--ssh`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::FileType;

use super::context::ignore::clean;
use super::context::select::Root;
use super::git_reference::GitReference;
use crate::error::{Context, Error, Result};
use crate::sys::process::tie;

/// What git may use of the user's own to reach a repository.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rights<'a> {
    /// Everything: the user named the repository. Other hosts get the agent of `--ssh`.
    User(Option<&'a Path>),
    /// A Dockerfile did, which may be somebody else's: of the user's configuration, passwords and keys nothing but the
    /// agent of `--ssh`.
    Agent(Option<&'a Path>),
}

impl<'a> Rights<'a> {
    /// Without the user's own.
    fn lesser(self) -> Self {
        let (Self::User(agent) | Self::Agent(agent)) = self;
        Self::Agent(agent)
    }

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

/// Who serves a repository.
#[derive(Debug, PartialEq, Eq)]
struct Host {
    scheme: String,
    name: String,
    port: Option<u16>,
}

impl Host {
    /// Of `scheme://[user@]host[:port]/…` and `[user@]host:path`; `None` for a path of here.
    fn of(url: &str) -> Option<Self> {
        let (scheme, authority) = match url.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest.split(['/', '?', '#']).next()?),
            None => ("ssh".to_owned(), url.split_once(':').map(|(host, _)| host).filter(|host| !host.contains('/'))?),
        };
        let host = authority.rsplit('@').next().filter(|_| !authority.contains('\\'))?;
        let (name, port) = match host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((name, port)) => (name, port.parse().ok()),
            None => (host, None),
        };
        let usual = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            "ssh" => Some(22),
            "git" => Some(9418),
            _ => return None,
        };
        (!name.is_empty()).then(|| Self { name: name.to_ascii_lowercase(), port: port.or(usual), scheme })
    }

    /// Whether what the user gives to `self` may be given to a submodule's host.
    fn trusts(&self, other: &Self) -> bool {
        let same = self.scheme == other.scheme && self.port == other.port;
        self.name == other.name && (same || self.scheme != other.scheme && matches!(&*other.scheme, "https" | "ssh"))
    }
}

/// A repository's URL without its user name and password, and the beginning of it with both.
fn public(url: &str) -> (String, Option<(String, String)>) {
    let web = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
    let Some((scheme, rest)) = web else { return (url.to_owned(), None) };
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((_, host)) = authority.rsplit_once('@') else { return (url.to_owned(), None) };
    let base = |authority: &str| format!("{scheme}://{authority}/");
    (format!("{scheme}://{host}{}", &rest[authority.len()..]), Some((base(authority), base(host))))
}

/// Runs git for one repository and its submodules.
struct Git<'a> {
    /// As it was named.
    text: &'a str,
    host: Option<Host>,
    /// With user name and password, and without.
    login: Option<(String, String)>,
    submodules: bool,
}

impl Git<'_> {
    fn run(&self, dir: &Path, rights: Rights<'_>, words: &[&str]) -> Result<String> {
        let failed = || format!("git {} failed", words.first().copied().unwrap_or_default());
        let mut git = Command::new("git");
        git.current_dir(dir)
            .args(["-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null", "-c", "init.defaultBranch=main"])
            .args(words)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null());
        tie(&mut git);
        rights.restrict(&mut git);
        // Everybody can read a program's arguments, and the repository's own configuration may end in an image.
        if let Some((with, without)) = &self.login {
            let count = match rights {
                Rights::User(_) => std::env::var("GIT_CONFIG_COUNT").ok().and_then(|n| n.parse().ok()).unwrap_or(0),
                Rights::Agent(_) => 0u32,
            };
            git.env("GIT_CONFIG_COUNT", (count + 1).to_string())
                .env(format!("GIT_CONFIG_KEY_{count}"), format!("url.{with}.insteadOf"))
                .env(format!("GIT_CONFIG_VALUE_{count}"), without);
        }
        let output = git.output().context(failed).map_err(|e| e.hint("install git"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::wrap(format!("cannot fetch {}", self.text), Error::new(said)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn checkout(&self, to: &Path, repository: &str, reference: &str, rights: Rights<'_>) -> Result<String> {
        let run = |words: &[&str]| {
            self.run(to, rights, words).map_err(|error| match rights {
                Rights::User(_) => error,
                Rights::Agent(_) => error.hint(
                    "a Dockerfile gets none of your passwords and keys: give it an SSH agent with --ssh default, or the \
                     repository with --build-context",
                ),
            })
        };
        run(&["init", "--quiet", "."])?;
        // Submodules may be named by their place beside it.
        run(&["config", "remote.origin.url", repository])?;
        let wanted = if reference.is_empty() { "HEAD" } else { reference };
        if run(&["fetch", "--quiet", "--depth=1", "--no-tags", "--", repository, wanted]).is_ok() {
            run(&["checkout", "--quiet", "--detach", "FETCH_HEAD", "--"])?;
        } else {
            // A commit that no branch points at, or a server that gives everything only.
            let heads = ["+HEAD:refs/remotes/origin/HEAD", "+refs/heads/*:refs/remotes/origin/*"];
            run(&["fetch", "--quiet", "--tags", "--", repository, heads[0], heads[1]])?;
            let name = wanted.strip_prefix("refs/heads/").unwrap_or(wanted);
            let branch = format!("refs/remotes/origin/{name}");
            let wanted = if run(&["rev-parse", "--verify", "--quiet", &branch]).is_ok() { &branch } else { wanted };
            run(&["checkout", "--quiet", "--detach", wanted, "--"])?;
        }
        if self.submodules {
            self.submodules(to, rights)?;
        }
        Ok(run(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Checks out the submodules of the repository in `dir`, and theirs.
    fn submodules(&self, dir: &Path, rights: Rights<'_>) -> Result<()> {
        // A link would be one to a file of here.
        if !std::fs::symlink_metadata(dir.join(".gitmodules")).is_ok_and(|meta| meta.is_file()) {
            return Ok(());
        }
        let run = |words: &[&str]| self.run(dir, rights.lesser(), words);
        // Their URLs, those beside the repository made whole.
        run(&["submodule", "--quiet", "init"])?;
        let listed = run(&["config", "-z", "-f", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$"])?;
        for entry in listed.split('\0').filter(|entry| !entry.is_empty()) {
            let (name, path) = entry.split_once('\n').unwrap_or((entry, ""));
            let url = format!("{}.url", name.strip_suffix(".path").unwrap_or(name));
            // One that the commit does not have has no URL now.
            let Ok(url) = run(&["config", "--local", "--get", &url]) else { continue };
            let host = Host::of(url.trim());
            let known = self.host.as_ref().zip(host.as_ref()).is_some_and(|(own, host)| own.trusts(host));
            let rights = if known { rights } else { rights.lesser() };
            let update = |more: &[&str]| {
                let words = [&["submodule", "--quiet", "update"][..], more, &["--", path]].concat();
                self.run(dir, rights, &words)
            };
            // Not every server gives a part.
            update(&["--depth=1"]).or_else(|_| update(&[])).map_err(|error| match known {
                true => error,
                false => error.hint(
                    "a submodule on another host gets none of your passwords and keys: give it an SSH agent with --ssh \
                     default",
                ),
            })?;
            let below = dir.join(path);
            // One that is not to be updated has none of its own, and git would find the repository above.
            if std::fs::symlink_metadata(below.join(".git")).is_ok() {
                self.submodules(&below, rights)?;
            }
        }
        Ok(())
    }
}

/// Checks a repository out into the empty directory `to`; answers the commit and where the directory is that counts.
/// `text` is how it was named.
pub(crate) fn fetch(
    text: &str,
    wanted: &GitReference,
    to: &Path,
    keep_git_dir: bool,
    rights: Rights<'_>,
) -> Result<(String, PathBuf)> {
    let (repository, below) = (wanted.repository.as_str(), &wanted.below);
    let repository = match repository.starts_with("github.com/") {
        true => &format!("https://{repository}"),
        false => repository,
    };
    let (repository, login) = public(repository);
    let git = Git { text, host: Host::of(&repository), login, submodules: wanted.submodules };
    let commit = git.checkout(to, &repository, &wanted.revision, rights)?;
    wanted.check(text, &commit)?;
    if !wanted.keep_git_dir.unwrap_or(keep_git_dir) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart() {
        for (context, submodule, trusted) in [
            ("https://h/a.git", "https://u:p@H:443/b.git", true),
            ("https://h/a.git", "https://h:444/b.git", false),
            ("https://h/a.git", "http://h/b.git", false),
            ("http://h/a.git", "https://h/b.git", true),
            ("https://h/a.git", "git@h:b.git", true),
            ("git@h:a.git", "ssh://git@h/b.git", true),
            ("git@h:a.git", "git://h/b.git", false),
            ("https://h/a.git", "https://h.evil/b.git", false),
            ("https://h/a.git", "https://evil/h/b.git", false),
            ("https://h/a.git", "https://evil@h/b.git", true),
            ("https://h/a.git", "https://h@evil/b.git", false),
            ("https://h/a.git", "https://evil?@h/b.git", false),
            ("https://h/a.git", "https://evil#@h/b.git", false),
            ("https://h/a.git", "https://evil\\@h/b.git", false),
            ("https://[::1]:5/a.git", "https://[::1]:5/b.git", true),
            ("https://[::1]/a.git", "https://[::1]:443/b.git", true),
            ("https://h/a.git", "/h/b.git", false),
            ("https://h/a.git", "../h:b.git", false),
            ("https://h/a.git", "file://h/b.git", false),
        ] {
            let trusts = Host::of(context).zip(Host::of(submodule)).is_some_and(|(own, other)| own.trusts(&other));
            assert_eq!(trusts, trusted, "{context} {submodule}");
        }
    }

    #[test]
    fn logins_are_taken_out() {
        let login = Some(("https://u:p@h:1/".to_owned(), "https://h:1/".to_owned()));
        assert_eq!(public("https://u:p@h:1/a.git"), ("https://h:1/a.git".to_owned(), login));
        for url in ["https://h/a@b.git", "git@h:a.git", "ssh://git@h/a.git"] {
            assert_eq!(public(url), (url.to_owned(), None));
        }
    }
}
