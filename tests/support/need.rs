//! What a trial needs of the machine. Missing: the trial is ignored and says what was missing.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::trial::{Stop, skip};
use super::user::is_root;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Slirp4netns,
    Pasta,
    FuseOverlayfs,
    Crun,
    DockerRegistry,
    Htpasswd,
    Skopeo,
    Gpg,
    Openssl,
    Curl,
    Strace,
    Git,
    Xz,
    Bzip2,
    SshAgent,
    SystemdAnalyze,
    /// Root, to wire network namespaces together as another host would be.
    ClientHost,
    /// A cgroup v2 tree with the memory, cpu and pids controllers, delegated to the user.
    DelegatedCgroup,
    Ipv6,
    /// Root and mkfs.xfs, for a file system whose files can share blocks.
    Xfs,
    /// A program that boots a guest with systemd, named by RPOD_VM.
    Vm,
    /// RPOD_TEST_LARGE: somebody who has minutes, and hundreds of megabytes to fetch from Debian's archive.
    Large,
}

/// Ignores the trial unless everything named is here.
pub fn need(needs: impl IntoIterator<Item = Need>) -> Result<(), Stop> {
    needs.into_iter().try_for_each(check)
}

fn check(need: Need) -> Result<(), Stop> {
    match need {
        Need::Slirp4netns => program("slirp4netns", "slirp4netns").and_then(|()| device("/dev/net/tun")),
        Need::Pasta => program("pasta", "passt").and_then(|()| device("/dev/net/tun")),
        Need::FuseOverlayfs => program("fuse-overlayfs", "fuse-overlayfs").and_then(|()| device("/dev/fuse")),
        Need::Crun => program("crun", "crun"),
        Need::DockerRegistry => program("docker-registry", "docker-registry"),
        Need::Htpasswd => program("htpasswd", "apache2-utils"),
        Need::Gpg => program("gpg", "gpg").and_then(|()| program("gpgv", "gpgv")),
        Need::Skopeo => program("skopeo", "skopeo"),
        Need::Openssl => program("openssl", "openssl"),
        Need::Curl => program("curl", "curl"),
        Need::Strace => program("strace", "strace"),
        Need::Git => program("git", "git"),
        Need::Xz => program("xz", "xz-utils"),
        Need::Bzip2 => program("bzip2", "bzip2"),
        Need::SshAgent => program("ssh-agent", "openssh-client"),
        Need::SystemdAnalyze => program("systemd-analyze", "systemd"),
        Need::ClientHost => {
            if !is_root() {
                return skip("needs root, to make a network namespace that plays another host");
            }
            program("ip", "iproute2")
        }
        Need::Xfs => {
            if !is_root() {
                return skip("needs root, to mount a file system of its own");
            }
            program("mkfs.xfs", "xfsprogs")?;
            match Path::new("/dev/loop-control").exists() {
                true => Ok(()),
                false => skip("there is no /dev/loop-control"),
            }
        }
        Need::DelegatedCgroup => delegated_cgroup(),
        Need::Vm => match std::env::var_os("RPOD_VM").filter(|program| Path::new(program).is_file()) {
            Some(_) => Ok(()),
            None => skip("RPOD_VM names no program that boots a guest with systemd"),
        },
        Need::Large => match std::env::var_os("RPOD_TEST_LARGE") {
            Some(_) => Ok(()),
            None => skip("it fetches hundreds of megabytes: set RPOD_TEST_LARGE"),
        },
        Need::Ipv6 => {
            if Path::new("/proc/net/if_inet6").exists() {
                Ok(())
            } else {
                skip("the kernel has no IPv6")
            }
        }
    }
}

/// Where a program is: PATH and the system directories that an ordinary user's PATH leaves out.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"])
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.is_file())
}

fn program(name: &str, package: &str) -> Result<(), Stop> {
    match find_program(name) {
        Some(_) => Ok(()),
        None => skip(format!("{name} is not installed (package {package})")),
    }
}

/// Ordinary users must be able to open the device.
fn device(path: &str) -> Result<(), Stop> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::metadata(path) {
        Ok(meta) if meta.permissions().mode() & 0o006 == 0o006 => Ok(()),
        Ok(_) => skip(format!("{path} is not open to ordinary users")),
        Err(_) => skip(format!("there is no {path}")),
    }
}

fn delegated_cgroup() -> Result<(), Stop> {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = *FOUND.get_or_init(|| {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::")) else { return false };
        let dir = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
        let controllers = std::fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
        ["memory", "cpu", "pids"].iter().all(|c| controllers.split_whitespace().any(|have| have == *c))
    });
    if found { Ok(()) } else { skip("no cgroup v2 tree with memory, cpu and pids is delegated here") }
}
