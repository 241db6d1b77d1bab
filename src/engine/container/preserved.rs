//! Descriptors of the command's own that a program gets: `--preserve-fds`, `--preserve-fd`, and those of a service manager
//! that listens for the container (sd_listen_fds(3)).
//!
//! Only what this process was given can be passed on; what rpod has opened itself is marked close-on-exec. Copies are made
//! with numbers above all that the program gets, so that none is in another's way.

use std::borrow::Cow;

use oci_spec::runtime::Spec;

use crate::error::{Context, Error, Kind, Result};
use crate::runtime::{Given, report_fd};
use crate::sys::descriptor;

/// What is passed on.
#[derive(Debug, Default)]
pub(crate) struct Preserved {
    /// In the order of their numbers.
    pub given: Vec<Given>,
    /// How many of them, the first ones, are a service manager's.
    listening: u32,
}

/// `--preserve-fds` and `--preserve-fd` of a container's start, and what a service manager has for this process.
pub(crate) fn at_start(count: Option<u32>, list: &[String]) -> Result<Preserved> {
    preserved(count, list, listening())
}

/// `--preserve-fds` and `--preserve-fd` of `exec`.
pub(crate) fn at_exec(count: Option<u32>, list: &[String]) -> Result<Preserved> {
    preserved(count, list, 0)
}

fn preserved(count: Option<u32>, list: &[String], listening: u32) -> Result<Preserved> {
    if count.is_some() && !list.is_empty() {
        return Err(Error::new("cannot specify both --preserve-fds and --preserve-fd"));
    }
    let mut numbers: Vec<i32> = Vec::new();
    for text in list {
        let number: u32 = text.parse().map_err(|_| {
            Error::new(format!("invalid argument {text:?} for \"--preserve-fd\" flag: it is not a number"))
        })?;
        if number < 3 {
            return Err(Error::new(format!(
                "cannot preserve FD {number}, consider using the passthrough log-driver to pass STDIO streams into the \
                 container: invalid argument"
            ))
            .with_kind(Kind::CannotInvoke));
        }
        numbers.push(i32::try_from(number).map_err(|_| not_available(u64::from(number), "preserve-fd"))?);
    }
    let (option, count) = if list.is_empty() { ("preserve-fds", count.unwrap_or(0)) } else { ("preserve-fd", 0) };
    let consecutive = u64::from(listening) + u64::from(count);
    for number in (3..).take(usize::try_from(consecutive).unwrap_or(usize::MAX)) {
        // Long before the numbers end.
        numbers.push(checked(number, option)?);
    }
    numbers.sort_unstable();
    numbers.dedup();
    let least = report_fd(&numbers) + 2;
    let copy = |number: &i32| -> Result<Given> {
        let fd = descriptor::inherited(*number, least).context(|| format!("cannot pass descriptor {number} on"))?;
        let fd = fd.ok_or_else(|| not_available((*number).unsigned_abs().into(), option))?;
        Ok(Given { number: *number, fd })
    };
    Ok(Preserved { given: numbers.iter().map(copy).collect::<Result<_>>()?, listening })
}

fn checked(number: i32, option: &str) -> Result<i32> {
    match descriptor::is_inherited(number) {
        true => Ok(number),
        false => Err(not_available(number.unsigned_abs().into(), option)),
    }
}

fn not_available(number: u64, option: &str) -> Error {
    Error::new(format!(
        "file descriptor {number} is not available - the {option} option requires that file descriptors must be passed"
    ))
}

/// How many sockets a service manager has for this process.
fn listening() -> u32 {
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let own = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
    match variable("LISTEN_PID") {
        Some(pid) if pid == own => variable("LISTEN_FDS").unwrap_or(0),
        _ => 0,
    }
}

impl Preserved {
    /// What the program is told about the sockets: the container's first process is process 1.
    pub(super) fn announce<'s>(&self, spec: Cow<'s, Spec>) -> Cow<'s, Spec> {
        if self.listening == 0 {
            return spec;
        }
        let mut spec = spec.into_owned();
        if let Some(process) = spec.process_mut() {
            let names = std::env::var("LISTEN_FDNAMES").ok().map(|names| format!("LISTEN_FDNAMES={names}"));
            let told = ["LISTEN_PID=1".to_owned(), format!("LISTEN_FDS={}", self.listening)];
            let own = process.env().iter().flatten().filter(|variable| !variable.starts_with("LISTEN_"));
            process.set_env(Some(own.cloned().chain(told).chain(names).collect()));
        }
        Cow::Owned(spec)
    }
}
