//! Values with a syntax of their own: sizes, signals, `KEY=VALUE`, devices, log options, name-server options.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::environment::for_each_line;
use super::{Dns, HostEntry, NamespaceMode, Pull, RootSource};
use crate::error::{Context, Error, Result};
use crate::monitor::log::MOST_FILES;

/// Bytes: a number, perhaps with a fraction, and b, k, m, g, t or p (powers of 1024), perhaps with `b` or `ib`.
pub(crate) fn size(text: &str) -> Result<u64> {
    size_by(text, 1024)
}

/// [`size`] in powers of 1000, as Docker and Podman read the sizes of logs.
fn decimal_size(text: &str) -> Result<u64> {
    size_by(text, 1000)
}

fn size_by(text: &str, base: u64) -> Result<u64> {
    let bad = || Error::new(format!("invalid size: '{text}'"));
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let suffix = suffix.strip_prefix(' ').unwrap_or(suffix).to_ascii_lowercase();
    let power = match suffix.strip_suffix("ib").or_else(|| suffix.strip_suffix('b')).unwrap_or(&suffix) {
        "" if suffix != "ib" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(bad()),
    };
    let unit = base.pow(power);
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit).filter(|bytes| *bytes <= i64::MAX as u64).ok_or_else(bad);
    }
    let bytes = number.parse::<f64>().map_err(|_| bad())? * unit as f64;
    if bytes.is_finite() && bytes < i64::MAX as f64 { Ok(bytes as u64) } else { Err(bad()) }
}

/// A signal by number or name, with or without `SIG`, in any case; `RTMIN+N` and `RTMAX-N` too.
pub(crate) fn signal(text: &str) -> Result<i32> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        _ => rest.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from),
    };
    let number = if let Ok(number) = name.parse::<i32>() {
        Some(number)
    } else if let Some(rest) = name.strip_prefix("RTMIN") {
        offset(rest, '+').map(|n| REAL_TIME.start() + n).filter(|n| REAL_TIME.contains(n))
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        offset(rest, '-').map(|n| REAL_TIME.end() - n).filter(|n| REAL_TIME.contains(n))
    } else {
        let known = NAMES.iter().zip(1..).find(|(known, _)| **known == name).map(|(_, number)| number);
        known.or(match name {
            "IOT" => Some(6),
            "CLD" => Some(17),
            "POLL" => Some(29),
            _ => None,
        })
    };
    number.filter(|n| (1..=64).contains(n)).ok_or_else(|| Error::new(format!("invalid signal: {text}")))
}

/// Labels as typed; a key alone has an empty value.
pub(crate) fn labels(texts: &[String], files: &[PathBuf]) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    let mut add = |text: &str| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            return Err(Error::new(format!("unable to process labels: invalid label format: {text:?}")));
        }
        labels.insert(key.to_owned(), value.to_owned());
        Ok(())
    };
    files.iter().try_for_each(|file| for_each_line(file, &mut add))?;
    texts.iter().try_for_each(|text| add(text))?;
    Ok(labels)
}

pub(crate) fn annotations(texts: &[String]) -> Result<BTreeMap<String, String>> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Error::new("annotations must be formatted KEY=VALUE").hint(format!("{text:?} is not"))),
        })
        .collect()
}

/// A program, or a JSON list of words; empty takes the image's entrypoint away.
pub(crate) fn entrypoint(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    serde_json::from_str(text).unwrap_or_else(|_| vec![text.to_owned()])
}

pub(crate) fn pull(text: &str) -> Result<Pull> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "always" | "true" | "1" => Pull::Always,
        "missing" | "ifnotpresent" | "" => Pull::Missing,
        "never" | "false" | "0" => Pull::Never,
        "newer" | "ifnewer" => Pull::Newer,
        _ => return Err(Error::new(format!("unsupported pull policy {text:?}"))),
    })
}

/// An octal mask such as `0022`.
pub(crate) fn umask(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mask| *mask <= 0o777 && (1..=4).contains(&text.len()))
        .ok_or_else(|| Error::new(format!("invalid umask {text}: invalid argument")))
}

/// `--pid` and its like; `option` is the option's name.
pub(crate) fn namespace(option: &str, text: &str) -> Result<NamespaceMode> {
    match text {
        "" | "private" => Ok(NamespaceMode::Private),
        "host" => Ok(NamespaceMode::Host),
        _ => match text.split_once(':') {
            Some(("container", name)) if !name.is_empty() => Ok(NamespaceMode::Container(name.to_owned())),
            Some(("ns", path)) if !path.is_empty() => {
                std::path::absolute(path).map(NamespaceMode::Path).context(|| format!("cannot use --{option} {text}"))
            }
            _ => Err(Error::new(format!("unrecognized namespace mode {text} passed"))),
        },
    }
}

/// `DIR[:O]` of `--rootfs`.
pub(crate) fn rootfs(text: &str) -> Result<RootSource> {
    let (path, overlay) = match text.rsplit_once(':') {
        // The whole text may be the name of a directory.
        Some((path, options)) if !Path::new(text).is_dir() => match options {
            "O" => (path, true),
            _ if options.split(',').next() == Some("idmap") => {
                return Err(Error::new(
                    "--rootfs DIR:idmap is not possible: the kernel makes id-mapped mounts for the owner of a file system only, and \
                     no disk was mounted by this user",
                ));
            }
            _ => (text, false),
        },
        _ => (text, false),
    };
    let absolute =
        std::fs::canonicalize(path).map_err(|e| Error::wrap(format!("cannot use the root file system {path}"), e))?;
    if !absolute.is_dir() {
        return Err(Error::new(format!("cannot use the root file system {path}: not a directory")));
    }
    Ok(RootSource::Directory { path: absolute, overlay })
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub source: PathBuf,
    pub destination: String,
    pub writable: bool,
}

/// `SOURCE[:DESTINATION][:rwm]`.
pub(crate) fn device(text: &str) -> Result<Device> {
    let parts: Vec<&str> = text.split(':').collect();
    let mode = |mode: &str| !mode.is_empty() && mode.bytes().all(|b| b"rwm".contains(&b));
    let (source, destination, permissions) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, second] if mode(second) => (source, source, second),
        [source, second] if second.starts_with('/') => (source, second, "rwm"),
        [_, second] => return Err(Error::new(format!("invalid device mode: {second}"))),
        [source, second, third] if mode(third) => (source, second, third),
        [_, _, third] => return Err(Error::new(format!("invalid device mode: {third}"))),
        _ => return Err(Error::new(format!("invalid device specification: {text}"))),
    };
    if source.is_empty() || !destination.starts_with('/') {
        return Err(Error::new(format!("invalid device specification: {text}")));
    }
    Ok(Device {
        source: PathBuf::from(source),
        destination: super::mounts::clean(destination),
        writable: permissions.contains('w'),
    })
}

/// `--log-driver` and `--log-opt`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Log {
    /// Names of labels and variables that `logs --details` shows.
    pub labels: Vec<String>,
    pub env: Vec<String>,
    pub driver: LogDriver,
    /// Bytes.
    pub max_size: Option<u64>,
    pub max_file: Option<u32>,
    pub path: Option<PathBuf>,
    pub tag: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogDriver {
    #[default]
    K8sFile,
    JsonFile,
    Journald,
    None,
    Passthrough,
    PassthroughTty,
}

fn on_a_terminal() -> bool {
    use rustix::termios::isatty;
    isatty(std::io::stdin()) || isatty(std::io::stdout()) || isatty(std::io::stderr())
}

/// `--log-driver` and `--log-opt`.
pub(crate) fn log(driver: Option<&str>, options: &[String]) -> Result<Log> {
    let hint = "choose from: k8s-file, json-file, journald, none, passthrough, passthrough-tty";
    let driver = match driver.unwrap_or_default() {
        "" | "k8s-file" => LogDriver::K8sFile,
        "json-file" => LogDriver::JsonFile,
        "none" => LogDriver::None,
        "passthrough" if on_a_terminal() => {
            return Err(Error::new("the '--log-driver passthrough' option cannot be used on a TTY")
                .hint("passthrough-tty lets the container use the terminal"));
        }
        "passthrough" => LogDriver::Passthrough,
        "passthrough-tty" => LogDriver::PassthroughTty,
        "journald" => LogDriver::Journald,
        name => return Err(Error::new(format!("invalid log driver {name:?}")).hint(hint)),
    };
    let mut log = Log { driver, ..Log::default() };
    for option in options {
        let invalid = || Error::new(format!("invalid log option {option:?}"));
        let (name, value) = option.split_once('=').ok_or_else(invalid)?;
        match name {
            "max-size" if value == "-1" => log.max_size = None,
            "max-size" => log.max_size = Some(decimal_size(value).context(|| "invalid value for log-opt max-size")?),
            "max-file" => {
                let files = value.parse().ok().filter(|files| (1..=MOST_FILES).contains(files));
                log.max_file = Some(files.ok_or_else(|| invalid().hint(format!("1 to {MOST_FILES} files")))?);
            }
            "path" if value.starts_with('/') => log.path = Some(PathBuf::from(value)),
            "path" => return Err(invalid().hint("the path must be absolute")),
            "tag" => value.clone_into(&mut log.tag),
            "labels" => log.labels.extend(value.split(',').map(str::to_owned)),
            "env" => log.env.extend(value.split(',').map(str::to_owned)),
            _ => return Err(invalid().hint("the options are max-size, max-file, path, tag, labels and env")),
        }
    }
    let files = matches!(log.driver, LogDriver::K8sFile | LogDriver::JsonFile);
    if !files && (log.max_size.is_some() || log.max_file.is_some() || log.path.is_some()) {
        return Err(Error::new(
            "the log options max-size, max-file and path need the log driver k8s-file or json-file",
        ));
    }
    Ok(log)
}

pub(crate) fn dns(servers: &[String], search: &[String], options: &[String]) -> Result<Dns> {
    let unmanaged = servers.iter().any(|s| s == "none");
    if unmanaged && (servers.len() > 1 || !search.is_empty() || !options.is_empty()) {
        return Err(Error::new("invalid dns options: --dns none cannot be combined with other dns options"));
    }
    let servers = servers
        .iter()
        .filter(|_| !unmanaged)
        .map(|server| server.trim().parse().map_err(|_| Error::new(format!("{server} is not an ip address"))));
    let one_word = |word: &&String| word.is_empty() || word.contains(char::is_whitespace);
    if let Some(bad) = search.iter().chain(options).find(one_word) {
        return Err(Error::new(format!("{bad:?} is not a domain or an option for resolv.conf")));
    }
    Ok(Dns { unmanaged, servers: servers.collect::<Result<_>>()?, search: search.to_vec(), options: options.to_vec() })
}

/// `NAME[;NAME…]:ADDRESS`, or Docker's `NAME=ADDRESS`.
pub(crate) fn add_host(text: &str) -> Result<HostEntry> {
    let bad = || Error::new(format!("bad format for add-host: {text:?}"));
    let (names, address) = text.split_once([':', '=']).ok_or_else(bad)?;
    let names: Vec<String> = names.split(';').map(ToOwned::to_owned).collect();
    if names.iter().any(|name| name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '#')) {
        return Err(bad());
    }
    let address = match address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address) {
        "host-gateway" => None,
        address => Some(
            address
                .parse::<IpAddr>()
                .map_err(|_| Error::new(format!("invalid IP address in add-host: {address:?}")))?,
        ),
    };
    Ok(HostEntry { names, address })
}

/// sethostname(2) takes 64 bytes; the name also goes into /etc/hosts.
pub(crate) fn hostname(text: &str) -> Result<String> {
    if text.len() > 64 || text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
        return Err(Error::new(format!("invalid hostname {text:?}: 1 to 64 characters without blanks")));
    }
    Ok(text.to_owned())
}
