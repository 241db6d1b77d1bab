//! Everything a Spec is made of, resolved: no default is missing, no name is left to look up.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxSeccomp, PosixRlimitType};

use super::capabilities::Capabilities;

/// The input of [`super::build`].
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub process: Process,
    /// Path of the root file system, for the record and for other runtimes; rpod's own gets a plan of its own.
    pub root: PathBuf,
    pub read_only: bool,
    /// `None` with the host's UTS namespace.
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    /// Mounts beside the default ones, and instead of a default one with the same destination.
    pub mounts: Vec<Mount>,
    /// Size of /dev/shm in bytes.
    pub shm_size: u64,
    pub namespaces: Namespaces,
    /// Empty without a user namespace of its own.
    pub uid_map: Vec<IdMapping>,
    pub gid_map: Vec<IdMapping>,
    pub sysctls: BTreeMap<String, String>,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    /// /sys and /sys/fs/cgroup writable, as far as the kernel lets the user namespace.
    pub writable_sys: bool,
    /// `None`: unconfined.
    pub seccomp: Option<LinuxSeccomp>,
    pub resources: Resources,
    pub annotations: BTreeMap<String, String>,
}

/// What the container's first process is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Process {
    pub args: Vec<String>,
    /// `NAME=value`, each name once.
    pub env: Vec<String>,
    pub cwd: String,
    pub terminal: bool,
    /// A reaper of rpod's own as process 1, the program as its child ([`INIT_ANNOTATION`]).
    pub init: bool,
    pub user: Identity,
    pub umask: u32,
    pub capabilities: Capabilities,
    pub rlimits: Vec<Rlimit>,
    pub no_new_privileges: bool,
    pub oom_score_adj: Option<i32>,
}

/// Ids inside the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

/// setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rlimit {
    pub kind: PosixRlimitType,
    pub soft: u64,
    pub hard: u64,
}

/// One mount in the words of the OCI Spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mount {
    pub destination: String,
    pub kind: String,
    pub source: PathBuf,
    pub options: Vec<String>,
}

/// Where a namespace comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Namespace {
    New,
    Host,
    /// An existing one. `container:<id>` stands for that container's, found when the container starts.
    Join(PathBuf),
}

/// The mount namespace is always new.
#[derive(Debug, Clone)]
pub(crate) struct Namespaces {
    pub user: Namespace,
    pub network: Namespace,
    pub pid: Namespace,
    pub ipc: Namespace,
    pub uts: Namespace,
    pub cgroup: Namespace,
}

impl Default for Namespaces {
    fn default() -> Self {
        use Namespace::New;
        Self { user: New, network: New, pid: New, ipc: New, uts: New, cgroup: New }
    }
}

/// One line of /proc/PID/uid_map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdMapping {
    pub container: u32,
    pub host: u32,
    pub size: u32,
}

/// cgroup limits; what is `None` is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resources {
    /// Bytes.
    pub memory: Option<i64>,
    /// Microseconds of CPU time in each `CPU_PERIOD`.
    pub cpu_quota: Option<i64>,
    pub pids: Option<i64>,
}

/// The period that `cpu_quota` counts in, microseconds.
pub(crate) const CPU_PERIOD: u64 = 100_000;

/// Asks the runtime to leave the supplementary groups of whoever starts the container; crun knows it too.
pub(crate) const KEEP_GROUPS_ANNOTATION: &str = "run.oci.keep_original_groups";

/// Asks the runtime for the reaper; the same annotation that Podman leaves.
pub(crate) const INIT_ANNOTATION: &str = "io.podman.annotations.init";
