//! `--security-opt`.

use std::io::Read;

use crate::error::{Context, Error, Result};

/// Largest seccomp profile.
const PROFILE_LIMIT: u64 = 4 << 20;

/// What the options ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Security {
    pub seccomp: Seccomp,
    pub no_new_privileges: bool,
    /// More paths to hide.
    pub mask: Vec<String>,
    pub unmask: Unmask,
    /// Options of the mount on /proc, such as hidepid=2 (proc(5)).
    pub proc_options: Vec<String>,
    /// A label other than what rpod does anyway (`disable`); only of use with SELinux.
    pub selinux: Option<String>,
    /// A profile other than `unconfined`.
    pub apparmor: Option<String>,
}

/// The system-call filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Seccomp {
    #[default]
    Default,
    Unconfined,
    /// A profile's text.
    Profile(String),
}

/// Default paths that are to be neither hidden nor read-only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unmask {
    pub all: bool,
    /// A `*` at the end of a path's last part stands for anything.
    pub paths: Vec<String>,
}

impl Unmask {
    pub(crate) fn covers(&self, path: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => path.strip_prefix(prefix).is_some_and(|rest| !rest.contains('/')),
            None => path == pattern,
        };
        self.all || self.paths.iter().any(matches)
    }
}

/// All `--security-opt` values; reads the seccomp profile.
pub(crate) fn security(texts: &[String]) -> Result<Security> {
    let mut security = Security::default();
    for text in texts {
        security.add(text)?;
    }
    Ok(security)
}

impl Security {
    fn add(&mut self, text: &str) -> Result<()> {
        let (name, value) = match text.split_once(['=', ':']) {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let invalid = |case: u8| Error::new(format!("invalid --security-opt {case}: {text:?}"));
        match (name, value) {
            ("no-new-privileges", None | Some("true")) => self.no_new_privileges = true,
            ("no-new-privileges", Some("false")) => self.no_new_privileges = false,
            (_, None) => return Err(invalid(1)),
            ("seccomp", Some("unconfined")) => self.seccomp = Seccomp::Unconfined,
            ("seccomp", Some("" | "builtin")) => self.seccomp = Seccomp::Default,
            ("seccomp", Some(path)) => self.seccomp = Seccomp::Profile(profile(path)?),
            ("mask", Some(paths)) => self.mask.extend(paths_of(paths)?),
            ("unmask", Some(paths)) if paths.eq_ignore_ascii_case("all") => self.unmask.all = true,
            ("unmask", Some(paths)) => self.unmask.paths.extend(paths_of(paths)?),
            ("proc-opts", Some(words)) => self.proc_options.extend(words.split(',').map(str::to_owned)),
            // Docker's word.
            ("systempaths", Some("unconfined")) => self.unmask.all = true,
            ("label", Some("disable")) => self.selinux = None,
            ("label", Some(label)) => self.selinux = Some(label.to_owned()),
            ("apparmor", Some("unconfined")) => self.apparmor = None,
            ("apparmor", Some(profile)) => self.apparmor = Some(profile.to_owned()),
            _ => return Err(invalid(2)),
        }
        Ok(())
    }

    /// Refuses what this host's security modules would need and rpod does not do.
    pub(crate) fn check(&self, selinux: bool, apparmor: bool) -> Result<()> {
        if let Some(label) = self.selinux.as_ref().filter(|_| selinux) {
            return Err(Error::new(format!(
                "--security-opt label={label} is not supported: rpod sets no SELinux labels"
            ))
            .hint("containers run with the label of rpod itself; leave the option out, or use label=disable"));
        }
        match &self.apparmor {
            Some(profile) if apparmor => Err(Error::new(format!(
                "--security-opt apparmor={profile} is not supported: rpod sets no AppArmor profile"
            ))
            .hint("containers run under the profile of rpod itself; leave the option out, or use apparmor=unconfined")),
            Some(profile) => Err(Error::new(format!(
                "apparmor profile {profile:?} specified, but Apparmor is not enabled on this system"
            ))),
            None => Ok(()),
        }
    }
}

fn profile(path: &str) -> Result<String> {
    let file =
        std::fs::File::open(path).context(|| format!("open {path}")).context(|| "opening seccomp profile failed")?;
    let mut text = String::new();
    file.take(PROFILE_LIMIT + 1).read_to_string(&mut text).context(|| format!("reading the seccomp profile {path}"))?;
    if text.len() as u64 > PROFILE_LIMIT {
        return Err(Error::new(format!("the seccomp profile {path} is larger than {} MiB", PROFILE_LIMIT >> 20)));
    }
    Ok(text)
}

fn paths_of(list: &str) -> Result<Vec<String>> {
    list.split(':')
        .map(|path| {
            if path.starts_with('/') {
                return Ok(super::mounts::clean(path));
            }
            Err(Error::new(format!("--security-opt mask and unmask take absolute paths, and {path:?} is none")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_refused() {
        let read = |text: &str| security(&[text.to_owned()]);
        assert!(read("no-new-privileges").is_ok_and(|s| s.no_new_privileges));
        assert!(read("no-new-privileges:true").is_ok_and(|s| s.no_new_privileges));
        assert!(read("seccomp=unconfined").is_ok_and(|s| s.seccomp == Seccomp::Unconfined));
        assert!(read("unmask=ALL").is_ok_and(|s| s.unmask.covers("/proc/kcore")));
        let some = read("unmask=/proc/k*:/sys/firmware").expect("paths").unmask;
        for (path, covered) in
            [("/proc/kcore", true), ("/proc/acpi", false), ("/sys/firmware", true), ("/proc/k/x", false)]
        {
            assert_eq!(some.covers(path), covered, "{path}");
        }
        for (text, message) in [
            ("foo", "invalid --security-opt 1: \"foo\""),
            ("foo=bar", "invalid --security-opt 2: \"foo=bar\""),
            ("no-new-privileges=maybe", "invalid --security-opt 2: \"no-new-privileges=maybe\""),
            (
                "seccomp=/nonexist",
                "opening seccomp profile failed: open /nonexist: No such file or directory (os error 2)",
            ),
            ("mask=x", "--security-opt mask and unmask take absolute paths, and \"x\" is none"),
        ] {
            assert_eq!(read(text).expect_err(text).to_string(), message);
        }
        let apparmor = read("apparmor=foo").expect("a name");
        assert!(apparmor.check(false, false).is_err() && apparmor.check(false, true).is_err());
        assert!(read("label=type:x").expect("a label").check(false, false).is_ok());
    }
}
