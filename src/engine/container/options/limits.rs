//! Limits: `--memory`, `--cpus`, `--pids-limit`, `--ulimit`, `--oom-score-adj`, and `--sysctl`.

use oci_spec::runtime::PosixRlimitType;

use crate::error::{Error, Result};
use crate::spec::settings::CPU_PERIOD;

/// The kernel refuses a quota below a millisecond.
const LEAST_QUOTA: i64 = 1000;

/// `--ulimit`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ulimits {
    /// `--ulimit host`: no default of rpod's.
    pub host: bool,
    pub limits: Vec<Ulimit>,
}

/// `None`: unlimited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ulimit {
    pub name: &'static str,
    pub kind: PosixRlimitType,
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

/// Docker's names.
const KINDS: [(&str, PosixRlimitType); 15] = {
    use PosixRlimitType as Kind;
    [
        ("core", Kind::RlimitCore),
        ("cpu", Kind::RlimitCpu),
        ("data", Kind::RlimitData),
        ("fsize", Kind::RlimitFsize),
        ("locks", Kind::RlimitLocks),
        ("memlock", Kind::RlimitMemlock),
        ("msgqueue", Kind::RlimitMsgqueue),
        ("nice", Kind::RlimitNice),
        ("nofile", Kind::RlimitNofile),
        ("nproc", Kind::RlimitNproc),
        ("rss", Kind::RlimitRss),
        ("rtprio", Kind::RlimitRtprio),
        ("rttime", Kind::RlimitRttime),
        ("sigpending", Kind::RlimitSigpending),
        ("stack", Kind::RlimitStack),
    ]
};

pub(crate) fn ulimits(texts: &[String]) -> Result<Ulimits> {
    let mut ulimits = Ulimits::default();
    for text in texts {
        if text == "host" {
            if texts.len() > 1 {
                return Err(Error::new("ulimit can use host only once, and with no other ulimit"));
            }
            ulimits.host = true;
            continue;
        }
        let limit = ulimit(text).map_err(|why| {
            Error::new(format!("ulimit option {text:?} requires name=SOFT:HARD, failed to be parsed: {why}"))
        })?;
        ulimits.limits.retain(|other| other.kind != limit.kind);
        ulimits.limits.push(limit);
    }
    Ok(ulimits)
}

fn ulimit(text: &str) -> Result<Ulimit, String> {
    let (name, values) = text.split_once('=').ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
    let (name, kind) = *KINDS.iter().find(|(n, _)| *n == name).ok_or_else(|| format!("invalid ulimit type: {name}"))?;
    let value = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        _ => text.parse::<u64>().map(Some).map_err(|_| format!("{text:?} is neither a number nor -1")),
    };
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (value(soft)?, value(hard)?),
        None => (value(values)?, value(values)?),
    };
    if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
        let show = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |l| l.to_string());
        let (soft, hard) = (show(soft), show(hard));
        return Err(format!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"));
    }
    Ok(Ulimit { name, kind, soft, hard })
}

/// `--memory`; 0 is no limit.
pub(crate) fn memory(text: &str) -> Result<Option<i64>> {
    let bytes = super::values::size(text).map_err(|e| Error::wrap("invalid value for memory", e))?;
    Ok(i64::try_from(bytes).ok().filter(|bytes| *bytes > 0))
}

/// `--cpus`; 0 is no limit.
pub(crate) fn cpu_quota(cpus: f64) -> Result<Option<i64>> {
    if cpus == 0.0 {
        return Ok(None);
    }
    let quota = cpus * CPU_PERIOD as f64;
    if !quota.is_finite() || quota < LEAST_QUOTA as f64 || quota > 1e12 {
        return Err(Error::new(format!("invalid value for cpus: {cpus}: 0 or a number from 0.01 on")));
    }
    Ok(Some(quota as i64))
}

/// `--pids-limit`; 0 and -1 are no limit.
pub(crate) fn pids(limit: i64) -> Result<Option<i64>> {
    match limit {
        -1 | 0 => Ok(None),
        1.. => Ok(Some(limit)),
        _ => Err(Error::new(format!("invalid value for pids-limit: {limit}: -1, 0 or a positive number"))),
    }
}

pub(crate) fn oom_score_adj(score: i32) -> Result<i32> {
    if (-1000..=1000).contains(&score) {
        return Ok(score);
    }
    Err(Error::new(format!("invalid value for oom-score-adj: {score}: -1000 to 1000")))
}

/// A kernel parameter of the container's own namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sysctl {
    /// With dots.
    pub name: String,
    pub value: String,
    pub scope: Scope,
}

/// The namespace a parameter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Ipc,
    Network,
}

/// Parameters that belong to the IPC namespace (ipc_namespaces(7)).
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// `NAME=VALUE`.
pub(crate) fn sysctl(text: &str) -> Result<Sysctl> {
    let invalid = || Error::new(format!("{text} is invalid, sysctl values must be in the form of KEY=VALUE"));
    let (name, value) = text.split_once('=').ok_or_else(invalid)?;
    let name = with_dots(name.trim());
    let scope = if IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.") {
        Scope::Ipc
    } else if name.starts_with("net.") {
        Scope::Network
    } else {
        return Err(Error::new(format!("sysctl '{name}' is not allowed"))
            .hint("only parameters of the container's own namespaces can be set: net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*"));
    };
    // The name becomes a path below /proc/sys.
    let sound = name.split('.').all(|part| !part.is_empty()) && !name.contains("..") && !value.contains('\0');
    if !sound || name.split('/').any(|part| part == ".." || part.is_empty()) {
        return Err(invalid());
    }
    Ok(Sysctl { name, value: value.trim().to_owned(), scope })
}

/// sysctl(8): with a slash first, slashes separate and dots are part of names; the OCI Spec wants dots.
fn with_dots(name: &str) -> String {
    match (name.find('.'), name.find('/')) {
        (dot, Some(slash)) if dot.is_none_or(|dot| slash < dot) => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.map_or_else(|e| e.to_string(), |value| format!("{value:?}"))
    }

    #[test]
    fn limits_are_read_and_refused() {
        for (text, expected) in [
            ("0", "None"),
            ("100m", "Some(104857600)"),
            ("1.5g", "Some(1610612736)"),
            ("1kib", "Some(1024)"),
            ("foo", "invalid value for memory: invalid size: 'foo'"),
            ("-1", "invalid value for memory: invalid size: '-1'"),
            ("1q", "invalid value for memory: invalid size: '1q'"),
            ("99999999999g", "invalid value for memory: invalid size: '99999999999g'"),
        ] {
            assert_eq!(shown(memory(text)), expected, "{text}");
        }
        for (cpus, expected) in
            [(0.0, Some(None)), (0.5, Some(Some(50_000))), (0.001, None), (-1.0, None), (f64::NAN, None)]
        {
            assert_eq!(cpu_quota(cpus).ok(), expected, "{cpus}");
        }
        assert_eq!(shown(pids(-1)), "None");
        assert!(pids(-2).is_err());
    }

    #[test]
    fn ulimits_are_read_and_refused() {
        let one = |text: &str| {
            shown(ulimits(&[text.to_owned()]).map(|u| (u.host, u.limits.first().map(|l| (l.soft, l.hard)))))
        };
        for (text, expected) in [
            ("nofile=10", "(false, Some((Some(10), Some(10))))"),
            ("nofile=10:20", "(false, Some((Some(10), Some(20))))"),
            ("core=-1:-1", "(false, Some((None, None)))"),
            ("host", "(true, None)"),
            (
                "foo=1",
                r#"ulimit option "foo=1" requires name=SOFT:HARD, failed to be parsed: invalid ulimit type: foo"#,
            ),
            (
                "nofile",
                r#"ulimit option "nofile" requires name=SOFT:HARD, failed to be parsed: invalid ulimit argument: nofile"#,
            ),
            (
                "nofile=20:10",
                r#"ulimit option "nofile=20:10" requires name=SOFT:HARD, failed to be parsed: ulimit soft limit must be less than or equal to hard limit: 20 > 10"#,
            ),
        ] {
            assert_eq!(one(text), expected, "{text}");
        }
        assert!(ulimits(&["nofile=-1:5".into()]).is_err());
    }

    #[test]
    fn sysctls_of_namespaces_only() {
        for (text, expected) in [
            ("net.ipv4.ip_forward=1", Some(("net.ipv4.ip_forward", Scope::Network))),
            ("net/ipv4/conf/eth0.1/forwarding=1", Some(("net.ipv4.conf.eth0/1.forwarding", Scope::Network))),
            ("kernel.msgmax = 5", Some(("kernel.msgmax", Scope::Ipc))),
            ("fs.mqueue.msg_max=5", Some(("fs.mqueue.msg_max", Scope::Ipc))),
            ("kernel.foo=1", None),
            ("kernel.core_pattern=|/x", None),
            ("net.ipv4", None),
            ("net...kernel.core_pattern=1", None),
            ("net./../kernel=1", None),
            ("net=1", None),
        ] {
            let read = sysctl(text).ok();
            assert_eq!(read.as_ref().map(|s| (s.name.as_str(), s.scope)), expected, "{text}");
        }
    }
}
