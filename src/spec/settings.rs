//! Everything a Spec is made of, resolved: no default is missing, no name is left to look up.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{Hooks, LinuxSeccomp, PosixRlimitType};

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
    /// Without a /dev/shm.
    pub no_shm: bool,
    /// /dev and /dev/shm are as read-only as the root.
    pub read_only_dev: bool,
    pub namespaces: Namespaces,
    /// Empty without a user namespace of its own.
    pub uid_map: Vec<IdMapping>,
    pub gid_map: Vec<IdMapping>,
    pub sysctls: BTreeMap<String, String>,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    /// /sys and /sys/fs/cgroup writable, as far as the kernel lets the user namespace.
    pub writable_sys: bool,
    /// /sys/fs/cgroup alone.
    pub writable_cgroup: bool,
    /// `None`: unconfined.
    pub seccomp: Option<LinuxSeccomp>,
    pub resources: Resources,
    pub annotations: BTreeMap<String, String>,
    pub hooks: Hooks,
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
    /// Memory and swap together, in bytes; -1: all the swap there is.
    pub memory_swap: Option<i64>,
    /// Bytes that are not taken away while others can give.
    pub memory_reservation: Option<i64>,
    /// Microseconds of CPU time in each period.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// 2 to 262144; others have 1024.
    pub cpu_shares: Option<u64>,
    /// Numbers and ranges: `0-3,5`.
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub pids: Option<i64>,
    /// 10 to 1000.
    pub blkio_weight: Option<u16>,
    pub blkio_weight_devices: Vec<(BlockDevice, u16)>,
    /// Per second.
    pub throttles: Vec<(Throttle, BlockDevice, u64)>,
    /// Files of the cgroup and what is written to them.
    pub unified: BTreeMap<String, String>,
}

/// A block device by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockDevice {
    pub major: u32,
    pub minor: u32,
}

/// What of a block device is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Throttle {
    ReadBytes,
    WriteBytes,
    ReadOperations,
    WriteOperations,
}

/// A mount option of rpod's own: the part of the source that is mounted, found without leaving the source.
pub(crate) const SUBPATH: &str = "x-rpod.subpath=";

/// The period that `--cpus` counts in, microseconds.
pub(crate) const CPU_PERIOD: u64 = 100_000;

/// Asks the runtime to leave the supplementary groups of whoever starts the container; crun knows it too.
pub(crate) const KEEP_GROUPS_ANNOTATION: &str = "run.oci.keep_original_groups";

/// Asks the runtime for the reaper; the same annotation that Podman leaves.
pub(crate) const INIT_ANNOTATION: &str = "io.podman.annotations.init";
