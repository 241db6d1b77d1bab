//! File systems that have no source: tmpfs, ramfs and devpts.

use super::words::{CHOWN, EXCLUSIVE, PROPAGATION, check_exclusive, is_of};
use super::{MountRequest, destination};
use crate::error::{Error, Result};

/// `--tmpfs DIR[:OPTIONS]`.
pub(super) fn tmpfs(text: &str) -> Result<MountRequest> {
    let (place, options) = text.split_once(':').unwrap_or((text, ""));
    let destination = destination(place)?;
    let words = options.split(',').filter(|word| !word.is_empty());
    Ok(MountRequest::Tmpfs { destination, options: tmpfs_options(words.map(ToOwned::to_owned).collect())? })
}

/// The options of a tmpfs that rpod mounts by itself.
pub(crate) fn default_tmpfs_options() -> Vec<String> {
    ["rw", "rprivate", "nosuid", "nodev", "tmpcopyup"].map(ToOwned::to_owned).to_vec()
}

/// The options of a tmpfs that was asked for, with the defaults.
pub(crate) fn tmpfs_options(mut options: Vec<String>) -> Result<Vec<String>> {
    const FLAGS: [&str; 15] = [
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "tmpcopyup",
        "notmpcopyup",
        "mand",
        CHOWN,
    ];
    const VALUES: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "huge"];
    for option in &options {
        if option == "noswap" && !rustix::process::geteuid().is_root() {
            return Err(Error::new(
                "the 'noswap' option is only allowed with rootful tmpfs mounts: invalid mount option",
            ));
        }
        let known = match option.split_once('=') {
            Some((name, value)) => VALUES.contains(&name) && !value.is_empty(),
            None => {
                FLAGS.contains(&option.as_str())
                    || option == "noswap"
                    || (0..=PROPAGATION).any(|group| is_of(group, option))
            }
        };
        if !known || option == "bind" || option == "rbind" {
            return Err(Error::new(format!("unknown mount option {option:?}: invalid mount option")));
        }
    }
    check_exclusive(&options)?;
    let copy_up = !options.iter().any(|option| option == "notmpcopyup");
    options.retain(|option| option != "notmpcopyup" && option != "tmpcopyup");
    let mut default = |group: usize, value: &str| {
        if !options.iter().any(|option| EXCLUSIVE[group].0.contains(&option.as_str())) {
            options.push(value.to_owned());
        }
    };
    default(0, "rw");
    default(5, "rprivate");
    default(2, "nosuid");
    default(3, "nodev");
    if copy_up {
        options.push("tmpcopyup".to_owned());
    }
    Ok(options)
}
