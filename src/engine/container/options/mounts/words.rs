//! The options of binds and volumes: which there are, which exclude each other, and what is added.

use crate::error::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bind,
    Volume,
}

/// Changes the owner of everything in the source to the container's user.
pub(crate) const CHOWN: &str = "U";

/// Groups of options of which one may be given, once.
pub(super) const EXCLUSIVE: [(&[&str], &str); 9] = [
    (&["ro", "rw"], "'rw' or 'ro'"),
    (&["exec", "noexec"], "'exec' or 'noexec'"),
    (&["suid", "nosuid"], "'nosuid' or 'suid'"),
    (&["dev", "nodev"], "'nodev' or 'dev'"),
    (&["bind", "rbind"], "'[r]bind'"),
    (
        &["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"],
        "'[r]shared', '[r]private', '[r]slave' or '[r]unbindable'",
    ),
    (&["z", "Z", "O"], "'z', 'Z', or 'O'"),
    (&["U"], "'U'"),
    (&["copy", "nocopy"], "'copy' or 'nocopy'"),
];

const ACCESS: usize = 0;
const SUID: usize = 2;
const DEV: usize = 3;
const RECURSION: usize = 4;
pub(super) const PROPAGATION: usize = 5;

pub(super) fn is_of(group: usize, word: &str) -> bool {
    EXCLUSIVE[group].0.contains(&word)
}

/// Whether a mount of the kernel has the option, as against those that rpod carries out.
fn is_mount_option(word: &str) -> bool {
    (ACCESS..=PROPAGATION).any(|group| is_of(group, word))
}

/// Options as typed, with what Podman adds. The labels of `z` and `Z` are of use with SELinux only, where rpod's
/// containers run with the user's own label; `cached` and `delegated` are Docker's words for other systems.
pub(super) fn options(words: &[&str], kind: Kind) -> Result<Vec<String>> {
    let mut options: Vec<String> = Vec::new();
    for word in words {
        match *word {
            "cached" | "delegated" | "consistent" | "default" => {}
            "no-dereference" => options.push((*word).to_owned()),
            _ if *word == "idmap" || word.starts_with("idmap=") => return Err(no_idmap(word)),
            _ if EXCLUSIVE.iter().any(|(group, _)| group.contains(word)) => options.push((*word).to_owned()),
            _ => return Err(Error::new(format!("invalid option type {word:?}"))),
        }
    }
    check_exclusive(&options)?;
    Ok(with_defaults(options, kind))
}

/// mount_setattr(2), MOUNT_ATTR_IDMAP: "the caller must have CAP_SYS_ADMIN in the user namespace the filesystem was
/// mounted in".
fn no_idmap(word: &str) -> Error {
    Error::new(format!(
        "mount option {word:?} is not possible: the kernel makes id-mapped mounts for the owner of a file system only, \
         and no disk was mounted by this user"
    ))
    .hint("U gives the files to the container's user; --userns keep-id has them belong to you inside as well")
}

pub(super) fn check_exclusive(options: &[String]) -> Result<()> {
    for (group, shown) in EXCLUSIVE {
        let given: Vec<&str> = options.iter().map(String::as_str).filter(|option| group.contains(option)).collect();
        if given.len() > 1 {
            let given = given.join(", ");
            return Err(Error::new(format!("invalid options {given:?}, can only specify 1 {shown} option")));
        }
    }
    Ok(())
}

/// What Podman adds: private propagation, everything below the source, and no devices or setuid programs from volumes.
pub(super) fn with_defaults(mut options: Vec<String>, kind: Kind) -> Vec<String> {
    let recursive = !options.iter().any(|option| option == "bind");
    let mut default = |group: usize, value: &str| {
        if !options.iter().any(|option| is_of(group, option)) {
            options.push(value.to_owned());
        }
    };
    default(ACCESS, "rw");
    default(PROPAGATION, if recursive { "rprivate" } else { "private" });
    if kind == Kind::Volume {
        default(SUID, "nosuid");
        default(DEV, "nodev");
    }
    default(RECURSION, "rbind");
    options
}

/// The options that become part of the mount itself, in the words of the OCI Spec.
pub(crate) fn for_the_kernel(options: &[String]) -> Vec<String> {
    let kernels = options.iter().filter(|option| is_mount_option(option)).cloned();
    // crun's word, which the runtime here has as well.
    let link = options.iter().any(|option| option == "no-dereference").then(|| "copy-symlink".to_owned());
    kernels.chain(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_podmans() {
        for (given, kind, expected) in [
            ("U", Kind::Bind, "U,rw,rprivate,rbind"),
            ("bind", Kind::Bind, "bind,rw,private"),
            ("rslave", Kind::Bind, "rslave,rw,rbind"),
            ("U,ro", Kind::Volume, "U,ro,rprivate,nosuid,nodev,rbind"),
            ("nocopy", Kind::Volume, "nocopy,rw,rprivate,nosuid,nodev,rbind"),
            ("dev,suid,exec", Kind::Volume, "dev,suid,exec,rw,rprivate,rbind"),
            ("z,cached,delegated", Kind::Bind, "z,rw,rprivate,rbind"),
        ] {
            let words: Vec<&str> = given.split(',').collect();
            assert_eq!(options(&words, kind).expect(given).join(","), expected);
        }
        let all = options(&["U", "z", "no-dereference", "noexec"], Kind::Bind).expect("options");
        assert_eq!(for_the_kernel(&all).join(","), "noexec,rw,rprivate,rbind,copy-symlink");
    }

    #[test]
    fn options_that_exclude_each_other() {
        for (given, message) in [
            ("O,z,noexec", "invalid options \"O, z\", can only specify 1 'z', 'Z', or 'O' option"),
            ("U,U", "invalid options \"U, U\", can only specify 1 'U' option"),
            ("copy,nocopy", "invalid options \"copy, nocopy\", can only specify 1 'copy' or 'nocopy' option"),
            ("dev,nodev", "invalid options \"dev, nodev\", can only specify 1 'nodev' or 'dev' option"),
            ("rbind,bind", "invalid options \"rbind, bind\", can only specify 1 '[r]bind' option"),
            ("noatime", "invalid option type \"noatime\""),
            ("rro", "invalid option type \"rro\""),
            ("idmap", "mount option \"idmap\" is not possible"),
        ] {
            let words: Vec<&str> = given.split(',').collect();
            let error = options(&words, Kind::Bind).expect_err(given).to_string();
            assert!(error.starts_with(message), "{given}: {error}");
        }
    }
}
