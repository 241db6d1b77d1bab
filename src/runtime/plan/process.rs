//! The program: arguments, limits and credentials in the form the kernel takes them.

use oci_spec::runtime::{Capabilities, LinuxCapabilities, PosixRlimitType};

use super::strings;
use crate::error::{Error, Result};
use crate::runtime::Given;
use crate::spec::capabilities::number;
use crate::sys::exec::Strings;
use crate::sys::rlimit::Limit;
use crate::sys::seccomp::Filter;
use crate::userns::{IdMaps, owner};

/// What is executed, and as whom.
#[derive(Debug)]
pub(in crate::runtime) struct Process {
    /// For the trampoline: its own header, the candidates, the program's arguments.
    pub arguments: Strings,
    pub environment: Strings,
    pub limits: Vec<Limit>,
    pub credentials: Credentials,
    /// The program as it was asked for, for messages.
    pub name: String,
    /// The descriptor that the trampoline reports on; it has the next one itself.
    pub report: i32,
}

/// Who the program is. The capability sets are bit masks.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Credentials {
    pub uid: u32,
    pub gid: u32,
    /// `None` where the kernel denies setgroups (single-id maps).
    pub groups: Option<Vec<rustix::process::Gid>>,
    pub umask: u32,
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
    pub no_new_privileges: bool,
    pub die_with_parent: bool,
    pub seccomp: Option<Filter>,
}

/// The descriptor that the trampoline reports on: behind the standard streams and these.
pub(crate) fn report_fd(numbers: &[i32]) -> i32 {
    numbers.iter().map(|number| number.saturating_add(1)).fold(3, i32::max)
}

/// execvp(3) without PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Process {
    pub(super) fn compile(
        process: &oci_spec::runtime::Process,
        maps: Option<&IdMaps>,
        init: bool,
        seccomp: Option<Filter>,
        given: &[Given],
    ) -> Result<Self> {
        let args = process.args().as_deref().unwrap_or_default();
        let name = args.first().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Error::new("no command was given, and the image names none"))?.clone();
        let environment = process.env().as_deref().unwrap_or_default();
        let candidates = candidates(&name, environment);
        let report = report_fd(&given.iter().map(|given| given.number).collect::<Vec<_>>());
        let header = format!("{report} {} {}", candidates.len(), u8::from(init));
        let limits = process.rlimits().iter().flatten();
        Ok(Self {
            arguments: strings(std::iter::once(&header).chain(&candidates).chain(args))?,
            environment: strings(environment)?,
            limits: limits.map(|l| Limit { resource: resource(l.typ()), soft: l.soft(), hard: l.hard() }).collect(),
            credentials: credentials(process, maps, seccomp)?,
            name,
            report,
        })
    }
}

impl Process {
    /// A program of the host, by its path, with the credentials that it is started with.
    pub(super) fn helper(arguments: Vec<String>) -> Result<Self> {
        let name = arguments.first().cloned().unwrap_or_default();
        let report = report_fd(&[]);
        let header = [format!("{report} 1 0"), name.clone()];
        Ok(Self {
            arguments: strings(header.iter().chain(&arguments))?,
            environment: strings([format!("PATH={DEFAULT_PATH}")])?,
            limits: Vec::new(),
            credentials: Credentials::default(),
            name,
            report,
        })
    }
}

/// The files that `name` may mean, in order.
fn candidates(name: &str, environment: &[String]) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let path = environment.iter().find_map(|e| e.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(':').map(|dir| format!("{}/{name}", if dir.is_empty() { "." } else { dir })).collect()
}

fn credentials(
    process: &oci_spec::runtime::Process,
    maps: Option<&IdMaps>,
    seccomp: Option<Filter>,
) -> Result<Credentials> {
    let user = process.user();
    if let Some(maps) = maps {
        check_mapped(maps, user.uid(), user.gid())?;
    }
    let denied = maps.is_some_and(IdMaps::denies_setgroups);
    let groups = user.additional_gids().iter().flatten().copied();
    // Of the groups, an image's own list may name ids that this user does not have: nothing could be owned by them.
    let groups = groups.filter(|gid| maps.is_none_or(|m| m.host_gid(*gid).is_some()));
    let mut credentials = Credentials {
        uid: user.uid(),
        gid: user.gid(),
        groups: (!denied).then(|| groups.filter_map(|gid| owner::gid(gid).ok()).collect()),
        umask: user.umask().unwrap_or(0o022),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        die_with_parent: true,
        seccomp,
        ..Credentials::default()
    };
    if let Some(sets) = process.capabilities() {
        capabilities(&mut credentials, sets, maps.is_none())?;
    }
    Ok(credentials)
}

/// Without a user namespace of its own (real root) a process cannot have more than its parent.
fn capabilities(credentials: &mut Credentials, sets: &LinuxCapabilities, limited: bool) -> Result<()> {
    let own = match rustix::thread::capabilities(None) {
        Ok(own) if limited => own.permitted.bits(),
        _ => u64::MAX,
    };
    credentials.bounding = mask(sets.bounding())?;
    credentials.effective = mask(sets.effective())? & own;
    credentials.permitted = mask(sets.permitted())? & own;
    credentials.inheritable = mask(sets.inheritable())? & own;
    credentials.ambient = mask(sets.ambient())? & own & credentials.permitted & credentials.inheritable;
    Ok(())
}

fn check_mapped(maps: &IdMaps, uid: u32, gid: u32) -> Result<()> {
    let what = match (maps.host_uid(uid), maps.host_gid(gid)) {
        (None, _) => format!("user id {uid}"),
        (_, None) => format!("group id {gid}"),
        _ => return Ok(()),
    };
    let error = Error::new(format!("{what} of the container's user is not mapped"));
    Err(match &maps.single {
        Some(reason) => error.hint(format!("only id 0 exists in the container: {reason}")),
        None => error.hint("give the user a larger range in /etc/subuid and /etc/subgid"),
    })
}

fn mask(set: &Option<Capabilities>) -> Result<u64> {
    set.iter().flatten().try_fold(0, |mask, capability| {
        let name = capability.to_string();
        match number(&name) {
            Some(number) => Ok(mask | 1 << number),
            None => Err(Error::new(format!("unknown capability {name}"))),
        }
    })
}

fn resource(kind: PosixRlimitType) -> u32 {
    let number = match kind {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    };
    // Unsigned with glibc, signed with musl.
    i64::from(number) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_up_like_execvp() {
        let env = ["PATH=/a::/b".to_owned()];
        assert_eq!(candidates("x", &env), ["/a/x", "./x", "/b/x"]);
        assert_eq!(candidates("./x", &env), ["./x"]);
        assert_eq!(candidates("x", &[]).len(), 6);
    }

    #[test]
    fn every_capability_has_its_number() {
        use oci_spec::runtime::Capability;
        let one = |c| mask(&Some(Capabilities::from([c]))).expect("known");
        assert_eq!(one(Capability::Chown), 1);
        assert_eq!(one(Capability::SysAdmin), 1 << 21);
        assert_eq!(one(Capability::CheckpointRestore), 1 << 40);
    }
}
