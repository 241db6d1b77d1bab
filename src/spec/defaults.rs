//! Defaults that callers refine before they fill settings in.

/// Paths that tell about or reach the host, hidden from the container (Podman's list).
pub(crate) const MASKED_PATHS: [&str; 11] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

/// Paths that may be read only (Podman's list).
pub(crate) const READONLY_PATHS: [&str; 6] =
    ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Size of /dev/shm in bytes: Podman's "65536k", which it counts in thousands.
pub(crate) const SHM_SIZE: u64 = 65_536_000;

/// The umask of a container's program.
pub(crate) const UMASK: u32 = 0o022;
