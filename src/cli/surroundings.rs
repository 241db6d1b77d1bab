//! Flags of `run` and `create` about what the program finds around it: accounts, name files, time zone.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Surroundings {
    /// Add the program's user and group to /etc/passwd and /etc/group when they are missing (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub passwd: Option<bool>,

    /// The line for /etc/passwd, with $USERNAME, $UID, $GID, $NAME and $HOME
    #[arg(long, value_name = "LINE")]
    pub passwd_entry: Option<String>,

    /// The line for /etc/group, with $GROUPNAME, $GID and $USERLIST
    #[arg(long, value_name = "LINE")]
    pub group_entry: Option<String>,

    /// Add a user of the host to /etc/passwd
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub hostuser: Vec<String>,

    /// Leave the image's /etc/hostname
    #[arg(long)]
    pub no_hostname: bool,

    /// What /etc/hosts begins with: a file of the host, image or none (default the host's)
    #[arg(long, value_name = "FILE")]
    pub hosts_file: Option<String>,

    /// Put the name files into this directory of the container as well
    #[arg(long, value_name = "DIR")]
    pub chrootdirs: Vec<String>,

    /// Time zone: a name such as Europe/Berlin, or local for the host's
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,

    /// Set a variable from others of the image (NAME=text with ${OTHER})
    #[arg(long, value_name = "NAME=VALUE")]
    pub env_merge: Vec<String>,

    /// With --init: a program of the host that is to be process 1 instead of rpod's own reaper
    #[arg(long, value_name = "PROGRAM")]
    pub init_path: Option<PathBuf>,

    /// Make the container as systemd wants it: true (when the program is systemd or init), false or always (default "true")
    #[arg(long, value_name = "MODE")]
    pub systemd: Option<String>,

    /// Size of the tmpfs file systems for systemd; 0 for half of the memory (default "0")
    #[arg(long, value_name = "SIZE")]
    pub shm_size_systemd: Option<String>,

    /// Where a seccomp profile comes from when --security-opt names none: default or image (the image's label)
    #[arg(long, value_name = "POLICY")]
    pub seccomp_policy: Option<String>,

    /// Write the number of the container's first process, as the host sees it, to a file
    #[arg(long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,

    /// Write the number of the monitor's process to a file
    #[arg(long, value_name = "FILE")]
    pub conmon_pidfile: Option<PathBuf>,

    /// Accepted for compatibility with Docker, as in Podman
    #[arg(long, hide = true)]
    pub disable_content_trust: bool,
}
