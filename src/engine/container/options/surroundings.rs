//! What the program finds around it: accounts, name files, time zone, process 1.

use std::path::{Component, Path, PathBuf};

use crate::engine::container::options::mounts::clean;
use crate::error::{Context, Error, Result};

/// Where time zones are on the host.
const ZONES: &str = "/usr/share/zoneinfo";

/// All of it; the default is what a container gets without flags.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub accounts: AccountOptions,
    pub hosts: HostsBase,
    /// Directories of the container that get the name files too.
    pub chroot_dirs: Vec<String>,
    /// The host's file for /etc/localtime.
    pub localtime: Option<PathBuf>,
    /// `NAME`, text with `${OTHER}`.
    pub merge: Vec<(String, String)>,
    /// A program of the host as process 1.
    pub init: Option<PathBuf>,
    /// A seccomp profile is taken from the image's label.
    pub image_seccomp: bool,
}

/// Lines of the container's passwd and group files.
#[derive(Debug, Clone, Default)]
pub(crate) struct AccountOptions {
    /// `--passwd=false`
    pub none: bool,
    pub passwd_entry: Option<String>,
    pub group_entry: Option<String>,
    pub host_users: Vec<String>,
}

/// What /etc/hosts begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum HostsBase {
    #[default]
    Host,
    File(PathBuf),
    Image,
    Empty,
}

/// `--hosts-file`
pub(crate) fn hosts(text: &str) -> Result<HostsBase> {
    Ok(match text {
        "" => HostsBase::Host,
        "image" => HostsBase::Image,
        "none" => HostsBase::Empty,
        path => {
            let path = std::path::absolute(path).context(|| format!("cannot make {path} absolute"))?;
            if !path.is_file() {
                return Err(Error::new(format!(
                    "failed to create new hosts file: open {}: no such file or directory",
                    path.display()
                )));
            }
            HostsBase::File(path)
        }
    })
}

/// `--tz`: the file of the host that describes the zone. `local` is the host's own; without one that is UTC.
pub(crate) fn timezone(name: &str) -> Result<Option<PathBuf>> {
    let unknown = || Error::new(format!("running container create option: finding timezone: unknown time zone {name}"));
    let path = match name {
        "" => return Ok(None),
        "local" => match std::fs::canonicalize("/etc/localtime") {
            Ok(path) => return Ok(Some(path)),
            Err(_) => Path::new(ZONES).join("UTC"),
        },
        name => {
            // A name, not a way out of the directory.
            if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(unknown());
            }
            Path::new(ZONES).join(name)
        }
    };
    if path.is_file() { Ok(Some(path)) } else { Err(unknown().hint(format!("the zones of this host are in {ZONES}"))) }
}

/// `--env-merge NAME=TEXT`
pub(crate) fn merge(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !text.contains('\0') => Ok((name.to_owned(), value.to_owned())),
        _ => {
            Err(Error::new(format!("invalid variable: {text:?}"))
                .hint("--env-merge takes NAME=TEXT with ${OTHER} in it"))
        }
    }
}

/// `--chrootdirs`
pub(crate) fn chroot_dir(text: &str) -> Result<String> {
    match text.starts_with('/') && !text.contains('\0') {
        true => Ok(clean(text)),
        false => Err(Error::new(format!("--chrootdirs {text:?} is not an absolute path"))),
    }
}

/// `--init-path`, which must be a program here.
pub(crate) fn init(path: &Path) -> Result<PathBuf> {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK)
        .map_err(|e| Error::wrap(format!("container-init binary not found on the host: {}", path.display()), e))?;
    std::path::absolute(path).context(|| format!("cannot make {} absolute", path.display()))
}

/// `--seccomp-policy`: whether the image's own profile is wanted.
pub(crate) fn seccomp_policy(text: &str) -> Result<bool> {
    match text {
        "" | "default" => Ok(false),
        "image" => Ok(true),
        _ => Err(Error::new(format!("invalid seccomp policy {text:?}: valid policies are [\"default\" \"image\"]"))),
    }
}

/// `text` with `${NAME}` and `$NAME` replaced by what `value` knows; what it does not know is nothing.
pub(crate) fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, after) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, after)) => (name, after),
            None => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        if name.is_empty() {
            out.push('$');
        } else {
            out.push_str(&value(name).unwrap_or_default());
        }
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let value = |name: &str| (name == "A").then(|| "1".to_owned());
        for (text, wanted) in [
            ("x-${A}-y", "x-1-y"),
            ("$A$A.", "11."),
            ("${NOPE}z", "z"),
            ("$", "$"),
            ("a$-b", "a$-b"),
            ("${A", "${A"),
            ("ü$Aü", "ü1ü"),
        ] {
            let wanted = if text == "${A" { "${A" } else { wanted };
            assert_eq!(expand(text, value), wanted, "{text}");
        }
    }

    #[test]
    fn zones_and_files() {
        for bad in ["../../etc/passwd", "/etc/passwd", "Nosuch/Zone", "."] {
            let error = timezone(bad).expect_err(bad).to_string();
            assert!(error.contains("unknown time zone"), "{error}");
        }
        assert_eq!(timezone("").expect("none"), None);
        assert_eq!(hosts("none").expect("none"), HostsBase::Empty);
        assert!(hosts("/nonexistent").is_err() && hosts("/").is_err());
        assert!(merge("=x").is_err() && merge("x").is_err() && chroot_dir("x").is_err());
        assert!(init(Path::new("/etc/passwd")).is_err() && seccomp_policy("x").is_err());
    }
}
