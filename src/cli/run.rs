//! `run` and `create`. Spellings, letters and defaults are Podman's.
//!
//! Lists that Podman splits at commas are split here; what a value means is decided in `engine::container::options`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::health::Health;
use super::life::Life;
use super::limits::Resources;
use super::surroundings::Surroundings;

/// Run a command in a new container
///
/// Creates a container from IMAGE and starts COMMAND in it, or what the image says when no command is given.
/// The image is pulled when it is not there.
///
/// The exit code is the program's; 125 when rpod itself failed, 126 when the program could not be executed,
/// 127 when it was not found.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "rpod run [options] IMAGE [COMMAND [ARG...]]")]
pub(crate) struct Run {
    #[command(flatten)]
    pub container: Container,

    /// Run the container in the background and print its ID
    #[arg(short, long)]
    pub detach: bool,

    /// Remove the image after the container has ended, unless others use it; implies --rm
    #[arg(long)]
    pub rmi: bool,

    /// Pass this number of descriptors on to the program, those from 3 on (default 0)
    #[arg(long, value_name = "NUMBER")]
    pub preserve_fds: Option<u32>,

    /// Pass these descriptors on to the program
    #[arg(long, value_name = "FD", value_delimiter = ',')]
    pub preserve_fd: Vec<String>,

    /// Keys that detach from the container ("" for none) (default "ctrl-p,ctrl-q")
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,

    /// Pass received signals on to the program (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub sig_proxy: Option<bool>,
}

/// Create a container without starting it
///
/// Prints the ID. `rpod start` starts it.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "rpod create [options] IMAGE [COMMAND [ARG...]]")]
pub(crate) struct Create {
    #[command(flatten)]
    pub container: Container,
}

/// What `run` and `create` have in common.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Container {
    #[command(flatten)]
    pub general: General,
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub process: Process,
    #[command(flatten)]
    pub storage: Storage,
    #[command(flatten)]
    pub network: Network,
    #[command(flatten)]
    pub security: Security,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub surroundings: Surroundings,
    #[command(flatten)]
    pub health: Health,
    #[command(flatten)]
    pub life: Life,

    /// The image, then the command
    #[arg(trailing_var_arg = true, required = true, value_name = "IMAGE [COMMAND [ARG...]]")]
    pub words: Vec<OsString>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct General {
    /// Assign a name to the container
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Remove the container, and the volumes made for it without a name, after it ends
    #[arg(long)]
    pub rm: bool,

    /// Remove a container of the same name first
    #[arg(long)]
    pub replace: bool,

    /// Set metadata on the container (KEY=VALUE)
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,

    /// Read labels from a file, one per line
    #[arg(long, value_name = "FILE")]
    pub label_file: Vec<PathBuf>,

    /// Add an annotation to the container's OCI Spec (KEY=VALUE)
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,

    /// Write the container ID to a file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<PathBuf>,

    /// How output is kept: k8s-file, json-file, journald, none, passthrough or passthrough-tty (default "k8s-file")
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,

    /// Logging options: max-size, max-file, path, tag, labels, env (NAME=VALUE)
    #[arg(long, value_name = "NAME=VALUE")]
    pub log_opt: Vec<String>,

    /// Whether to start the program again when it ends: no, on-failure[:TIMES], always or unless-stopped (default "no")
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,

    /// Kill the program when it has run for this time; 0 for no limit
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u32>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Image {
    /// When to pull the image: always, missing, never or newer (default "missing")
    #[arg(long, value_name = "POLICY")]
    pub pull: Option<String>,

    /// Suppress output while pulling
    #[arg(short, long)]
    pub quiet: bool,

    /// Choose the image for this platform (OS/ARCH[/VARIANT])
    #[arg(long, value_name = "PLATFORM", conflicts_with_all = ["arch", "os"])]
    pub platform: Option<String>,

    /// Choose the image for this architecture
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,

    /// Choose the image for this operating system
    #[arg(long, value_name = "OS")]
    pub os: Option<String>,

    /// Choose the image for this variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    pub variant: Option<String>,

    /// Require HTTPS and verify certificates when pulling (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub tls_verify: Option<bool>,

    /// Number of times to retry a request to a registry that failed (default 3)
    #[arg(long, value_name = "NUMBER")]
    pub retry: Option<u32>,

    /// Delay before the first retry, doubled for each further one (2s, 500ms)
    #[arg(long, value_name = "DURATION")]
    pub retry_delay: Option<String>,

    /// Path of the credentials file ($REGISTRY_AUTH_FILE)
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Process {
    /// Connect only these: stdin, stdout, stderr
    #[arg(short, long, value_name = "STREAM", value_delimiter = ',')]
    pub attach: Vec<String>,

    /// Keep the program's standard input open
    #[arg(short, long)]
    pub interactive: bool,

    /// Give the program a terminal
    #[arg(short, long)]
    pub tty: bool,

    /// Set an environment variable; without a value it is taken from here, NAME* takes all that begin so
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,

    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,

    /// Give the program all of rpod's environment
    #[arg(long)]
    pub env_host: bool,

    /// Leave out a variable that the image sets
    #[arg(long, value_name = "NAME")]
    pub unsetenv: Vec<String>,

    /// Leave out everything that the image sets
    #[arg(long)]
    pub unsetenv_all: bool,

    /// Pass the proxy variables of rpod's environment on (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub http_proxy: Option<bool>,

    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,

    /// User and group the program runs as (NAME|UID[:GROUP|GID])
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,

    /// Add supplementary groups
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    pub group_add: Vec<String>,

    /// Replace the image's entrypoint: a program, or a JSON list of words
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,

    /// Run a reaper as process 1, which passes signals on to the program
    #[arg(long)]
    pub init: bool,

    /// Signal that asks the program to stop (default the image's, else SIGTERM)
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,

    /// Seconds that `stop` waits before it kills (default 10)
    #[arg(long, value_name = "SECONDS")]
    pub stop_timeout: Option<u32>,

    /// File mode creation mask of the program (default "0022")
    #[arg(long, value_name = "MASK")]
    pub umask: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Storage {
    /// Mount a directory of the host or a named volume ([SOURCE:]DESTINATION[:OPTIONS])
    #[arg(short, long, value_name = "VOLUME")]
    pub volume: Vec<String>,

    /// Mount the volumes of another container at the same places (CONTAINER[:ro|rw,z])
    #[arg(long, value_name = "CONTAINER[:OPTIONS]")]
    pub volumes_from: Vec<String>,

    /// Mount a file system (type=bind|volume|image|glob|tmpfs|ramfs|devpts,src=…,dst=…[,OPTION…])
    #[arg(long, value_name = "MOUNT")]
    pub mount: Vec<String>,

    /// Give the container a secret (NAME[,type=mount|env][,target=…][,uid=…][,gid=…][,mode=…])
    #[arg(long, value_name = "SECRET")]
    pub secret: Vec<String>,

    /// Mount an empty tmpfs (DIR[:OPTIONS])
    #[arg(long, value_name = "DIR")]
    pub tmpfs: Vec<String>,

    /// What becomes of the image's volumes: anonymous, tmpfs or ignore (default "anonymous")
    #[arg(long, value_name = "MODE")]
    pub image_volume: Option<String>,

    /// Make the root file system read-only
    #[arg(long)]
    pub read_only: bool,

    /// With --read-only, mount a tmpfs on /run, /tmp and /var/tmp (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub read_only_tmpfs: Option<bool>,

    /// The first word is not an image but a directory, DIR[:O] (O: changes go to an overlay)
    #[arg(long)]
    pub rootfs: bool,

    /// Size of /dev/shm (default "65536k")
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,

    /// Add a device of the host (SOURCE[:DESTINATION][:rwm])
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,

    /// GPUs, which are devices by name: all, a number, or device=ID,…
    #[arg(long, value_name = "GPUS")]
    pub gpus: Vec<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Network {
    /// A bridge network (NAME[:ip=…,ip6=…,mac=…,alias=…,interface_name=…]; several may be given), or none, host,
    /// private, slirp4netns[:OPTIONS], pasta[:OPTIONS], container:NAME or ns:PATH
    #[arg(long, alias = "net", value_name = "NETWORK")]
    pub network: Vec<String>,

    /// Another name of the container on its networks
    #[arg(long, alias = "net-alias", value_name = "NAME")]
    pub network_alias: Vec<String>,

    /// IPv4 address on the bridge network
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,

    /// IPv6 address on the bridge network
    #[arg(long, value_name = "ADDRESS")]
    pub ip6: Option<String>,

    /// Hardware address on the bridge network
    #[arg(long, value_name = "ADDRESS")]
    pub mac_address: Option<String>,

    /// Know a container on the same network by another name as well (NAME[:ALIAS])
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    pub link: Vec<String>,

    /// Outside, reach these only: allow=DOMAIN|*.DOMAIN|CIDR[:PORT],...
    #[arg(long, value_name = "POLICY")]
    pub egress: Vec<String>,

    /// Publish a port of the container ([[IP:][HOST-PORT]:]PORT[/PROTOCOL])
    #[arg(short, long, value_name = "PORT", value_delimiter = ',')]
    pub publish: Vec<String>,

    /// Publish every exposed port on a random one of the host
    #[arg(short = 'P', long)]
    pub publish_all: bool,

    /// Name a port that --publish-all publishes
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    pub expose: Vec<String>,

    /// Host name of the container (default the first digits of its ID)
    #[arg(short = 'h', long, value_name = "NAME")]
    pub hostname: Option<String>,

    /// NIS domain name of the container, which domainname(1) shows
    #[arg(long, value_name = "NAME")]
    pub domainname: Option<String>,

    /// Use this name server; "none" leaves the image's resolv.conf
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub dns: Vec<String>,

    /// Set the DNS search domains
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',')]
    pub dns_search: Vec<String>,

    /// Set resolver options
    #[arg(long, alias = "dns-opt", value_name = "OPTION", value_delimiter = ',')]
    pub dns_option: Vec<String>,

    /// Add a line to /etc/hosts (NAME[;NAME…]:ADDRESS; host-gateway is the host)
    #[arg(long, value_name = "NAME:ADDRESS", value_delimiter = ',')]
    pub add_host: Vec<String>,

    /// Leave the image's /etc/hosts
    #[arg(long)]
    pub no_hosts: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Security {
    /// Add Linux capabilities
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    pub cap_add: Vec<String>,

    /// Drop Linux capabilities
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    pub cap_drop: Vec<String>,

    /// seccomp=FILE|unconfined, no-new-privileges, mask=PATHS, unmask=PATHS|ALL, label=…, apparmor=…
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<String>,

    /// Give the container everything that this user may give: capabilities, devices, no filter, no masks
    #[arg(long)]
    pub privileged: bool,

    /// User namespace: host, keep-id[:uid=,gid=,size=], nomap, auto[:…], container:NAME, ns:PATH
    #[arg(long, value_name = "MODE")]
    pub userns: Option<String>,

    /// UID map of the user namespace ([+ug]CONTAINER:[@]PARENT[:SIZE])
    #[arg(long, value_name = "MAP", value_delimiter = ',')]
    pub uidmap: Vec<String>,

    /// GID map of the user namespace ([+ug]CONTAINER:[@]PARENT[:SIZE])
    #[arg(long, value_name = "MAP", value_delimiter = ',')]
    pub gidmap: Vec<String>,

    /// Use the ranges that this name has in /etc/subuid
    #[arg(long, value_name = "NAME")]
    pub subuidname: Option<String>,

    /// Use the ranges that this name has in /etc/subgid
    #[arg(long, value_name = "NAME")]
    pub subgidname: Option<String>,

    /// PID namespace: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE")]
    pub pid: Option<String>,

    /// IPC namespace: shareable, private, none (no /dev/shm), host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE")]
    pub ipc: Option<String>,

    /// UTS namespace: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE")]
    pub uts: Option<String>,

    /// cgroup namespace: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE")]
    pub cgroupns: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Limits {
    #[command(flatten)]
    pub resources: Resources,

    /// Which devices may be opened (refused: only the machine's root can say so)
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub device_cgroup_rule: Vec<String>,

    /// Whether and where to make a cgroup: enabled, disabled, no-conmon or split
    #[arg(long, value_name = "MODE")]
    pub cgroups: Option<String>,

    /// Slice of systemd --user, or path of a cgroup, to make the container's in
    #[arg(long, value_name = "CGROUP")]
    pub cgroup_parent: Option<String>,

    /// Write to a file of the container's cgroup (memory.high=1073741824)
    #[arg(long, value_name = "FILE=VALUE")]
    pub cgroup_conf: Vec<String>,

    /// Never kill for want of memory (cgroup v2 has no such setting: a warning)
    #[arg(long)]
    pub oom_kill_disable: bool,

    /// Resource limit (NAME=SOFT[:HARD]; "host" keeps rpod's own)
    #[arg(long, value_name = "LIMIT", value_delimiter = ',')]
    pub ulimit: Vec<String>,

    /// Set a kernel parameter of the container's namespaces (NAME=VALUE)
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    pub sysctl: Vec<String>,

    /// How readily the kernel kills the container when memory runs out (-1000 to 1000)
    #[arg(long, value_name = "NUMBER")]
    pub oom_score_adj: Option<i32>,
}
