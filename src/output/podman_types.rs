//! The Go types of what Podman's `inspect` shows (libpod/define), for templates: names and order of fields.

use super::template::types::Field as F;
use super::template::types::Type::{self, Any, Bool, List, Map, Number, Pointer, Struct, Text, Time};

/// `container inspect`
pub(crate) const CONTAINER: Type = Struct(&[
    F("ID", Text),
    F("Created", Time),
    F("Path", Text),
    F("Args", List(&Text)),
    F("State", Pointer(STATE)),
    F("Image", Text),
    F("ImageDigest", Text),
    F("ImageName", Text),
    F("Rootfs", Text),
    F("Pod", Text),
    F("ResolvConfPath", Text),
    F("HostnamePath", Text),
    F("HostsPath", Text),
    F("StaticDir", Text),
    F("OCIConfigPath", Text),
    F("OCIRuntime", Text),
    F("ConmonPidFile", Text),
    F("PidFile", Text),
    F("Name", Text),
    F("RestartCount", Number),
    F("Driver", Text),
    F("MountLabel", Text),
    F("ProcessLabel", Text),
    F("AppArmorProfile", Text),
    F("EffectiveCaps", List(&Text)),
    F("BoundingCaps", List(&Text)),
    F("ExecIDs", List(&Text)),
    F("GraphDriver", Pointer(GRAPH_DRIVER)),
    F("SizeRw", Any),
    F("SizeRootFs", Number),
    F("Mounts", List(&Struct(MOUNT))),
    F("Dependencies", List(&Text)),
    F("NetworkSettings", Pointer(NETWORK_SETTINGS)),
    F("Namespace", Text),
    F("IsInfra", Bool),
    F("IsService", Bool),
    F("KubeExitCodePropagation", Text),
    F("LockNumber", Number),
    F("Config", Pointer(CONFIG)),
    F("HostConfig", Pointer(HOST_CONFIG)),
]);

const STATE: &[F] = &[
    F("OciVersion", Text),
    F("Status", Text),
    F("Running", Bool),
    F("Paused", Bool),
    F("Restarting", Bool),
    F("OOMKilled", Bool),
    F("Dead", Bool),
    F("Pid", Number),
    F("ConmonPid", Number),
    F("ExitCode", Number),
    F("Error", Text),
    F("StartedAt", Time),
    F("FinishedAt", Time),
    F("Health", Pointer(HEALTH)),
    F("Checkpointed", Bool),
    F("CgroupPath", Text),
    F("CheckpointedAt", Time),
    F("RestoredAt", Time),
    F("CheckpointLog", Text),
    F("CheckpointPath", Text),
    F("RestoreLog", Text),
    F("Restored", Bool),
    F("StoppedByUser", Bool),
];

const HEALTH: &[F] = &[F("Status", Text), F("FailingStreak", Number), F("Log", List(&Struct(HEALTH_LOG)))];

/// Its times are texts in Go as well.
const HEALTH_LOG: &[F] = &[F("Start", Text), F("End", Text), F("ExitCode", Number), F("Output", Text)];

const GRAPH_DRIVER: &[F] = &[F("Name", Text), F("Data", Map(&Text))];

const MOUNT: &[F] = &[
    F("Type", Text),
    F("Name", Text),
    F("Source", Text),
    F("Destination", Text),
    F("Driver", Text),
    F("Mode", Text),
    F("Options", List(&Text)),
    F("RW", Bool),
    F("Propagation", Text),
    F("SubPath", Text),
];

const HOST_PORT: &[F] = &[F("HostIP", Text), F("HostPort", Text)];

/// What one network and the whole have in common comes first.
const NETWORK_SETTINGS: &[F] = &[
    F("EndpointID", Text),
    F("Gateway", Text),
    F("IPAddress", Text),
    F("IPPrefixLen", Number),
    F("SecondaryIPAddresses", List(&Any)),
    F("IPv6Gateway", Text),
    F("GlobalIPv6Address", Text),
    F("GlobalIPv6PrefixLen", Number),
    F("SecondaryIPv6Addresses", List(&Any)),
    F("MacAddress", Text),
    F("AdditionalMacAddresses", List(&Text)),
    F("Bridge", Text),
    F("SandboxID", Text),
    F("HairpinMode", Bool),
    F("LinkLocalIPv6Address", Text),
    F("LinkLocalIPv6PrefixLen", Number),
    F("Ports", Map(&List(&Struct(HOST_PORT)))),
    F("SandboxKey", Text),
    F("Networks", Map(&Pointer(NETWORK))),
];

const NETWORK: &[F] = &[
    F("EndpointID", Text),
    F("Gateway", Text),
    F("IPAddress", Text),
    F("IPPrefixLen", Number),
    F("SecondaryIPAddresses", List(&Any)),
    F("IPv6Gateway", Text),
    F("GlobalIPv6Address", Text),
    F("GlobalIPv6PrefixLen", Number),
    F("SecondaryIPv6Addresses", List(&Any)),
    F("MacAddress", Text),
    F("AdditionalMacAddresses", List(&Text)),
    F("NetworkID", Text),
    F("DriverOpts", Map(&Text)),
    F("IPAMConfig", Map(&Text)),
    F("Links", List(&Text)),
    F("Aliases", List(&Text)),
];

const CONFIG: &[F] = &[
    F("Hostname", Text),
    F("DomainName", Text),
    F("User", Text),
    F("AttachStdin", Bool),
    F("AttachStdout", Bool),
    F("AttachStderr", Bool),
    F("Tty", Bool),
    F("OpenStdin", Bool),
    F("StdinOnce", Bool),
    F("Env", List(&Text)),
    F("Cmd", List(&Text)),
    F("Image", Text),
    F("Volumes", Map(&EMPTY)),
    F("WorkingDir", Text),
    F("Entrypoint", List(&Text)),
    F("OnBuild", Any),
    F("Labels", Map(&Text)),
    F("Annotations", Map(&Text)),
    F("StopSignal", Text),
    F("Healthcheck", Any),
    F("HealthcheckOnFailureAction", Text),
    F("HealthLogDestination", Text),
    F("HealthMaxLogCount", Any),
    F("HealthMaxLogSize", Any),
    F("StartupHealthCheck", Any),
    F("CreateCommand", List(&Text)),
    F("Umask", Text),
    F("Secrets", List(&Struct(SECRET))),
    F("Timeout", Number),
    F("StopTimeout", Number),
    F("Passwd", Any),
    F("ChrootDirs", List(&Text)),
    F("SdNotifyMode", Text),
    F("SdNotifySocket", Text),
    F("ExposedPorts", Map(&EMPTY)),
];

/// `struct{}`
const EMPTY: Type = Struct(&[]);

const SECRET: &[F] = &[F("Name", Text), F("ID", Text), F("UID", Number), F("GID", Number), F("Mode", Number)];

const LOG_CONFIG: &[F] = &[F("Type", Text), F("Config", Map(&Text)), F("Path", Text), F("Tag", Text), F("Size", Text)];

const RESTART_POLICY: &[F] = &[F("Name", Text), F("MaximumRetryCount", Number)];

const DEVICE: &[F] = &[F("PathOnHost", Text), F("PathInContainer", Text), F("CgroupPermissions", Text)];

const ULIMIT: &[F] = &[F("Name", Text), F("Soft", Number), F("Hard", Number)];

const THROTTLE: &[F] = &[F("Path", Text), F("Rate", Number)];

const WEIGHT: &[F] = &[F("Path", Text), F("Weight", Number)];

const HOST_CONFIG: &[F] = &[
    F("Binds", List(&Text)),
    F("CgroupManager", Text),
    F("CgroupMode", Text),
    F("ContainerIDFile", Text),
    F("LogConfig", Pointer(LOG_CONFIG)),
    F("NetworkMode", Text),
    F("PortBindings", Map(&List(&Struct(HOST_PORT)))),
    F("RestartPolicy", Pointer(RESTART_POLICY)),
    F("AutoRemove", Bool),
    F("AutoRemoveImage", Bool),
    F("Annotations", Map(&Text)),
    F("VolumeDriver", Text),
    F("VolumesFrom", List(&Text)),
    F("CapAdd", List(&Text)),
    F("CapDrop", List(&Text)),
    F("Dns", List(&Text)),
    F("DnsOptions", List(&Text)),
    F("DnsSearch", List(&Text)),
    F("ExtraHosts", List(&Text)),
    F("HostsFile", Text),
    F("GroupAdd", List(&Text)),
    F("IpcMode", Text),
    F("Cgroup", Text),
    F("Cgroups", Text),
    F("Links", List(&Text)),
    F("OomScoreAdj", Number),
    F("PidMode", Text),
    F("Privileged", Bool),
    F("PublishAllPorts", Bool),
    F("ReadonlyRootfs", Bool),
    F("SecurityOpt", List(&Text)),
    F("Tmpfs", Map(&Text)),
    F("UTSMode", Text),
    F("UsernsMode", Text),
    F("IDMappings", Any),
    F("ShmSize", Number),
    F("Runtime", Text),
    F("ConsoleSize", List(&Number)),
    F("Isolation", Text),
    F("CpuShares", Number),
    F("Memory", Number),
    F("NanoCpus", Number),
    F("CgroupParent", Text),
    F("BlkioWeight", Number),
    F("BlkioWeightDevice", List(&Struct(WEIGHT))),
    F("BlkioDeviceReadBps", List(&Struct(THROTTLE))),
    F("BlkioDeviceWriteBps", List(&Struct(THROTTLE))),
    F("BlkioDeviceReadIOps", List(&Struct(THROTTLE))),
    F("BlkioDeviceWriteIOps", List(&Struct(THROTTLE))),
    F("CpuPeriod", Number),
    F("CpuQuota", Number),
    F("CpuRealtimePeriod", Number),
    F("CpuRealtimeRuntime", Number),
    F("CpusetCpus", Text),
    F("CpusetMems", Text),
    F("Devices", List(&Struct(DEVICE))),
    F("DiskQuota", Number),
    F("KernelMemory", Number),
    F("MemoryReservation", Number),
    F("MemorySwap", Number),
    F("MemorySwappiness", Number),
    F("OomKillDisable", Bool),
    F("Init", Bool),
    F("PidsLimit", Number),
    F("Ulimits", List(&Struct(ULIMIT))),
    F("CpuCount", Number),
    F("CpuPercent", Number),
    F("IOMaximumIOps", Number),
    F("IOMaximumBandwidth", Number),
    F("CgroupConf", Map(&Text)),
    F("IntelRdtClosID", Text),
];

/// `image inspect`
pub(crate) const IMAGE: Type = Struct(&[
    F("ID", Text),
    F("Digest", Text),
    F("RepoTags", List(&Text)),
    F("RepoDigests", List(&Text)),
    F("Parent", Text),
    F("Comment", Text),
    F("Created", Time),
    F("Config", Pointer(IMAGE_CONFIG)),
    F("Version", Text),
    F("Author", Text),
    F("Architecture", Text),
    F("Os", Text),
    F("Size", Number),
    F("VirtualSize", Number),
    F("GraphDriver", Pointer(GRAPH_DRIVER)),
    F("RootFS", Pointer(ROOT_FS)),
    F("Labels", Map(&Text)),
    F("Annotations", Map(&Text)),
    F("ManifestType", Text),
    F("User", Text),
    F("History", List(&Any)),
    F("NamesHistory", List(&Text)),
    F("Healthcheck", Any),
    F("Variant", Text),
]);

/// With the members that Docker has beside OCI's.
const IMAGE_CONFIG: &[F] = &[
    F("User", Text),
    F("ExposedPorts", Map(&EMPTY)),
    F("Env", List(&Text)),
    F("Entrypoint", List(&Text)),
    F("Cmd", List(&Text)),
    F("Volumes", Map(&EMPTY)),
    F("WorkingDir", Text),
    F("Labels", Map(&Text)),
    F("StopSignal", Text),
    F("StopTimeout", Any),
    F("Healthcheck", Any),
    F("Shell", List(&Text)),
    F("OnBuild", List(&Text)),
];

const ROOT_FS: &[F] = &[F("Type", Text), F("Layers", List(&Text))];

/// `version`
pub(crate) const VERSION: Type = Struct(&[F("Client", Pointer(CLIENT)), F("Server", Pointer(CLIENT))]);

/// rpod is not written in Go, nor built by a date; the fields are there and empty.
const CLIENT: &[F] = &[
    F("APIVersion", Text),
    F("Version", Text),
    F("GoVersion", Text),
    F("GitCommit", Text),
    F("BuiltTime", Text),
    F("Built", Number),
    F("BuildOrigin", Text),
    F("OsArch", Text),
    F("Os", Text),
];

/// `volume inspect`
pub(crate) const VOLUME: Type = Struct(&[
    F("Name", Text),
    F("Driver", Text),
    F("Mountpoint", Text),
    F("CreatedAt", Time),
    F("Status", Map(&Any)),
    F("Labels", Map(&Text)),
    F("Scope", Text),
    F("Options", Map(&Text)),
    F("UID", Number),
    F("GID", Number),
    F("Anonymous", Bool),
    F("MountCount", Number),
    F("NeedsCopyUp", Bool),
    F("NeedsChown", Bool),
    F("Timeout", Number),
    F("StorageID", Text),
    F("LockNumber", Number),
]);

/// `secret inspect`
pub(crate) const SECRET_REPORT: Type = Struct(&[
    F("ID", Text),
    F("CreatedAt", Time),
    F("UpdatedAt", Time),
    F(
        "Spec",
        Struct(&[
            F("Name", Text),
            F("Driver", Struct(&[F("Name", Text), F("Options", Map(&Text))])),
            F("Labels", Map(&Text)),
        ]),
    ),
    F("SecretData", Text),
]);
