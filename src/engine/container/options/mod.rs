//! What a container is asked to be: typed values, before an image or this host is looked at.
//!
//! The front ends (`run` and `create`, later compose files and the socket) fill [`RunOptions`] with what these modules
//! make of text; [`super::resolve`] turns it into settings. Refusals have Podman's words.

pub(crate) mod environment;
pub(crate) mod health;
pub(crate) mod ipc;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod mounts;
pub(crate) mod resources;
pub(crate) mod secrets;
pub(crate) mod security;
pub(crate) mod surroundings;
pub(crate) mod systemd;
pub(crate) mod userns;
pub(crate) mod values;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::asked::Asked;
use super::cdi;
use super::record::Link;
use crate::network::egress::policy::Policy;
use crate::network::mode::Mode;
use crate::network::ports::PortMapping;
use crate::runtime::cgroup::Wish;
use crate::spec::capabilities;
use crate::spec::settings::Resources;
use environment::Environment;
use ipc::Sharing;
use life::Life;
use limits::{Sysctl, Ulimits};
use mounts::{ImageVolumes, MountRequest, VolumesFrom};
use secrets::SecretRequest;
use security::Security;
use surroundings::Surroundings;
use systemd::Systemd;
use userns::UserNamespace;
use values::{Device, Log};

/// Everything `run` and `create` can be told about the container itself.
#[derive(Debug, Clone)]
pub(crate) struct RunOptions {
    pub root: RootSource,
    /// What follows the image; empty: the image's.
    pub command: Vec<String>,
    /// `Some(empty)` takes the image's away.
    pub entrypoint: Option<Vec<String>>,
    pub tty: bool,
    pub interactive: bool,
    pub rm: bool,
    pub init: bool,
    pub environment: Environment,
    pub workdir: Option<String>,
    pub user: Option<String>,
    pub groups: Vec<String>,
    pub umask: u32,
    pub hostname: Option<String>,
    /// Of NIS, setdomainname(2).
    pub domainname: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub stop_signal: Option<i32>,
    pub stop_timeout: Option<u32>,
    pub mounts: Vec<MountRequest>,
    pub volumes_from: Vec<VolumesFrom>,
    pub secrets: Vec<SecretRequest>,
    pub image_volumes: ImageVolumes,
    pub devices: Vec<Device>,
    /// Devices by name.
    pub cdi: Vec<cdi::Name>,
    pub shm_size: u64,
    pub read_only: bool,
    pub read_only_tmpfs: bool,
    pub network: NetworkOptions,
    pub capabilities: capabilities::Changes,
    pub security: Security,
    pub privileged: bool,
    pub userns: UserNamespace,
    pub pid: NamespaceMode,
    pub ipc: NamespaceMode,
    /// Of its own IPC namespace and /dev/shm.
    pub sharing: Sharing,
    pub systemd: Systemd,
    pub uts: NamespaceMode,
    pub cgroup: NamespaceMode,
    pub resources: Resources,
    pub cgroups: Wish,
    /// What was asked for and has no effect on any host, for stderr.
    pub ignored: Vec<String>,
    pub ulimits: Ulimits,
    pub sysctls: Vec<Sysctl>,
    pub oom_score_adj: Option<i32>,
    pub log: Log,
    pub surroundings: Surroundings,
    /// The words of all this that nobody needs but `inspect`.
    pub asked: Asked,
    pub life: Life,
}

impl RunOptions {
    /// `--group-add keep-groups`: the program has the groups of the person who starts it.
    pub(crate) fn keeps_groups(&self) -> bool {
        self.groups.iter().any(|group| group == "keep-groups")
    }
}

/// Where the root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RootSource {
    Image(String),
    /// `--rootfs`; with `overlay` the directory stays as it is and changes go above it.
    Directory {
        path: PathBuf,
        overlay: bool,
    },
}

/// `--pid`, `--ipc`, `--uts`, `--cgroupns`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum NamespaceMode {
    #[default]
    Private,
    Host,
    /// That of another container, by name or id.
    Container(String),
    /// One that is kept at a path.
    Path(PathBuf),
}

/// How the container is connected, and what its name files say.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkOptions {
    pub mode: Mode,
    pub ports: Vec<PortMapping>,
    /// `-P`.
    pub publish_all: bool,
    /// `--expose`, as typed.
    pub expose: Vec<String>,
    pub dns: Dns,
    pub add_hosts: Vec<HostEntry>,
    pub no_hosts: bool,
    /// The image's /etc/hostname stays.
    pub no_hostname: bool,
    /// `--link`.
    pub links: Vec<Link>,
    /// `--egress`.
    pub egress: Option<Policy>,
}

/// `--dns`, `--dns-search`, `--dns-option`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dns {
    /// `--dns none`: the image's resolv.conf stays.
    pub unmanaged: bool,
    pub servers: Vec<IpAddr>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

/// A line of /etc/hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostEntry {
    pub names: Vec<String>,
    /// `None`: the host, however it is reached (`host-gateway`).
    pub address: Option<IpAddr>,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pull {
    Always,
    #[default]
    Missing,
    Never,
    Newer,
}
