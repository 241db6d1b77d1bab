//! What of this host matters to a container's settings.

use oci_spec::runtime::PosixRlimitType as Kind;
use rustix::process::{Resource, getrlimit};

use crate::error::{Context, Error, Result};
use crate::spec::seccomp::kernel_version;
use crate::userns::IdMaps;

/// Facts read once per command.
#[derive(Debug, Clone)]
pub(crate) struct HostFacts {
    /// Everything the user may map.
    pub maps: IdMaps,
    pub kernel: (u32, u32),
    /// The highest capability the kernel knows.
    pub last_capability: u32,
    pub hostname: String,
    pub selinux: bool,
    pub apparmor: bool,
    /// Limits may be raised (CAP_SYS_RESOURCE).
    pub may_raise_limits: bool,
}

impl HostFacts {
    pub(crate) fn read(maps: IdMaps) -> Result<Self> {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy();
        let kernel = kernel_version(&release)
            .ok_or_else(|| Error::new(format!("cannot understand the kernel's release {release:?}")))?;
        let path = "/proc/sys/kernel/cap_last_cap";
        let last = std::fs::read_to_string(path).context(|| format!("cannot read {path}"))?;
        let last_capability = last.trim().parse().context(|| format!("cannot understand {path}"))?;
        // Only the initial user namespace has every id; the capability counts for nothing in another.
        let initial = maps.uids.first().is_some_and(|range| range.size == u32::MAX);
        Ok(Self {
            maps,
            kernel,
            last_capability,
            hostname: uname.nodename().to_string_lossy().into_owned(),
            selinux: std::path::Path::new("/sys/fs/selinux/enforce").exists(),
            apparmor: std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y")),
            may_raise_limits: rustix::process::geteuid().is_root() && initial,
        })
    }
}

/// The hard limit of this process; `None`: unlimited.
pub(super) fn hard_limit(kind: Kind) -> Option<u64> {
    let resource = match kind {
        Kind::RlimitCpu => Resource::Cpu,
        Kind::RlimitFsize => Resource::Fsize,
        Kind::RlimitData => Resource::Data,
        Kind::RlimitStack => Resource::Stack,
        Kind::RlimitCore => Resource::Core,
        Kind::RlimitRss => Resource::Rss,
        Kind::RlimitNproc => Resource::Nproc,
        Kind::RlimitNofile => Resource::Nofile,
        Kind::RlimitMemlock => Resource::Memlock,
        Kind::RlimitAs => Resource::As,
        Kind::RlimitLocks => Resource::Locks,
        Kind::RlimitSigpending => Resource::Sigpending,
        Kind::RlimitMsgqueue => Resource::Msgqueue,
        Kind::RlimitNice => Resource::Nice,
        Kind::RlimitRtprio => Resource::Rtprio,
        Kind::RlimitRttime => Resource::Rttime,
    };
    getrlimit(resource).maximum
}
