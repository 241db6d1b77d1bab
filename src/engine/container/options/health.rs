//! The `--health-…` flags, and what they make of the image's HEALTHCHECK.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::image::config::Healthcheck as FromImage;
use crate::image::duration;
use crate::monitor::health::{Action, Destination, Healthcheck, Startup};

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const RETRIES: u32 = 3;
const LOG_COUNT: u32 = 5;
const LOG_SIZE: u32 = 500;

/// What was typed, checked; `None` where nothing was.
#[derive(Debug, Clone, Default)]
pub(crate) struct HealthOptions {
    /// `--no-healthcheck`, or a test that says so.
    pub off: bool,
    pub test: Option<Vec<String>>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub start_period: Option<Duration>,
    pub retries: Option<u32>,
    pub startup: Option<Startup>,
    pub on_failure: Action,
    pub log: Destination,
    pub log_count: Option<u32>,
    pub log_size: Option<u32>,
}

/// The flags as they come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Typed<'a> {
    pub none: bool,
    pub cmd: Option<&'a str>,
    pub interval: Option<&'a str>,
    pub timeout: Option<&'a str>,
    pub start_period: Option<&'a str>,
    pub retries: Option<u32>,
    pub startup_cmd: Option<&'a str>,
    pub startup_interval: Option<&'a str>,
    pub startup_timeout: Option<&'a str>,
    pub startup_retries: Option<u32>,
    pub startup_success: Option<u32>,
    pub on_failure: Option<&'a str>,
    pub log_destination: Option<&'a str>,
    pub log_count: Option<u32>,
    pub log_size: Option<u32>,
}

impl HealthOptions {
    /// Checks the flags; the messages are Podman's.
    pub(crate) fn parse(typed: &Typed<'_>) -> Result<Self> {
        if typed.none && typed.cmd.is_some() {
            return Err(Error::new("cannot specify both --no-healthcheck and --health-cmd"));
        }
        let test = typed.cmd.map(command).transpose()?;
        let off = typed.none || test.as_ref().is_some_and(|words| words[0] == "NONE");
        if typed.retries == Some(0) {
            return Err(Error::new("healthcheck-retries must be greater than 0"));
        }
        let startup_flag = typed.startup_interval.is_some()
            || typed.startup_timeout.is_some()
            || typed.startup_retries.is_some()
            || typed.startup_success.is_some();
        if typed.startup_cmd.is_none() && startup_flag {
            return Err(Error::new("startup healthcheck options need --health-startup-cmd"));
        }
        let startup = |cmd| -> Result<Startup> {
            Ok(Startup {
                test: command(cmd)?,
                interval: interval("startup-interval", typed.startup_interval)?.unwrap_or(INTERVAL),
                timeout: timeout("startup-timeout", typed.startup_timeout)?.unwrap_or(TIMEOUT),
                retries: typed.startup_retries.unwrap_or(0),
                success: typed.startup_success.unwrap_or(0),
            })
        };
        Ok(Self {
            off,
            test: test.filter(|_| !off),
            interval: interval("interval", typed.interval)?,
            timeout: timeout("timeout", typed.timeout)?,
            start_period: duration("start-period", typed.start_period)?,
            retries: typed.retries,
            startup: typed.startup_cmd.map(startup).transpose()?,
            on_failure: action(typed.on_failure)?,
            log: destination(typed.log_destination)?,
            log_count: typed.log_count,
            log_size: typed.log_size,
        })
    }

    /// With what the image says; `None`: no check.
    pub(crate) fn resolve(&self, image: Option<&FromImage>) -> Result<Option<Healthcheck>> {
        let image = image.filter(|_| !self.off).filter(|image| !image.test.is_empty() && image.test[0] != "NONE");
        let test = self.test.as_ref().or(image.map(|image| &image.test));
        let Some(test) = test else {
            if self.on_failure != Action::None {
                let action = self.on_failure.as_str();
                return Err(Error::new(format!("cannot set on-failure action to {action} without a health check")));
            }
            if self.startup.is_some() {
                return Err(Error::new(
                    "cannot set a startup healthcheck when there is no regular healthcheck: invalid argument",
                ));
            }
            return Ok(None);
        };
        // Durations of an image are nanoseconds; 0 is what nobody has set.
        let given = |pick: fn(&FromImage) -> i64| {
            image.and_then(|image| u64::try_from(pick(image)).ok()).filter(|n| *n > 0).map(Duration::from_nanos)
        };
        let retries = image.and_then(|image| u32::try_from(image.retries).ok()).filter(|retries| *retries > 0);
        Ok(Some(Healthcheck {
            test: test.clone(),
            interval: self.interval.or(given(|image| image.interval)).unwrap_or(INTERVAL),
            timeout: self.timeout.or(given(|image| image.timeout)).unwrap_or(TIMEOUT),
            start_period: self.start_period.or(given(|image| image.start_period)).unwrap_or_default(),
            retries: self.retries.or(retries).unwrap_or(RETRIES),
            startup: self.startup.clone(),
            on_failure: self.on_failure,
            log: self.log.clone(),
            log_count: self.log_count.unwrap_or(LOG_COUNT),
            log_size: self.log_size.unwrap_or(LOG_SIZE),
        }))
    }
}

/// What `update` makes of the check that a container has: only what was typed is different. `None`: no check.
pub(crate) fn changed(current: Option<Healthcheck>, typed: &Typed<'_>) -> Result<Option<Healthcheck>> {
    if *typed == Typed::default() {
        return Ok(current);
    }
    if typed.none && *typed != (Typed { none: true, ..Typed::default() }) {
        return Err(Error::new("cannot specify both --no-healthcheck and other HealthCheck flags"));
    }
    let had = current.as_ref().and_then(|check| check.startup.clone());
    let later = Typed { startup_cmd: typed.startup_cmd.or(had.as_ref().map(|_| "true")), ..typed.clone() };
    let options = HealthOptions::parse(&later)?;
    if options.off {
        return Ok(None);
    }
    let current = current.map(|check| Healthcheck { startup: None, ..check });
    let mut check = match (current, &options.test) {
        (Some(check), Some(test)) => Healthcheck { test: test.clone(), ..check },
        (Some(check), None) => check,
        (None, Some(_)) => options.resolve(None)?.ok_or_else(|| Error::new("the health check has no command"))?,
        (None, None) => {
            return Err(Error::new("the container has no health check that could be changed").hint("add --health-cmd"));
        }
    };
    check.interval = options.interval.unwrap_or(check.interval);
    check.timeout = options.timeout.unwrap_or(check.timeout);
    check.start_period = options.start_period.unwrap_or(check.start_period);
    check.retries = options.retries.unwrap_or(check.retries);
    check.log_count = options.log_count.unwrap_or(check.log_count);
    check.log_size = options.log_size.unwrap_or(check.log_size);
    if typed.on_failure.is_some() {
        check.on_failure = options.on_failure;
    }
    if typed.log_destination.is_some() {
        check.log = options.log;
    }
    check.startup = match (options.startup, had) {
        (Some(new), Some(old)) => Some(Startup {
            test: if typed.startup_cmd.is_some() { new.test } else { old.test },
            interval: if typed.startup_interval.is_some() { new.interval } else { old.interval },
            timeout: if typed.startup_timeout.is_some() { new.timeout } else { old.timeout },
            retries: typed.startup_retries.unwrap_or(old.retries),
            success: typed.startup_success.unwrap_or(old.success),
        }),
        (new, _) => new,
    };
    Ok(Some(check))
}

/// `--health-cmd`: a command line for the shell, a JSON list of words, or one of either that begins with CMD, CMD-SHELL or NONE.
fn command(text: &str) -> Result<Vec<String>> {
    let list: Option<Vec<String>> = serde_json::from_str(text).ok();
    let words = || text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let first = list.as_ref().map_or_else(|| words().first().cloned(), |list| list.first().cloned());
    let Some(first) = first else { return Err(Error::new("must define a healthcheck command for all healthchecks")) };
    Ok(match (first.to_ascii_uppercase().as_str(), list) {
        ("NONE", _) => vec!["NONE".to_owned()],
        ("CMD" | "CMD-SHELL", Some(list)) if list.len() > 1 => list,
        ("CMD", None) if words().len() > 1 => words(),
        ("CMD-SHELL", None) if words().len() > 1 => {
            let rest = text.trim_start().get(first.len()..).unwrap_or_default().trim_start();
            vec!["CMD-SHELL".to_owned(), rest.to_owned()]
        }
        ("CMD" | "CMD-SHELL", _) => return Err(Error::new("must define a healthcheck command for all healthchecks")),
        (_, Some(list)) if list.len() > 1 => std::iter::once("CMD".to_owned()).chain(list).collect(),
        (_, Some(list)) => vec!["CMD-SHELL".to_owned(), list.concat()],
        (_, None) => vec!["CMD-SHELL".to_owned(), text.to_owned()],
    })
}

fn duration(name: &str, text: Option<&str>) -> Result<Option<Duration>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let parsed = duration::parse(text)
        .ok_or_else(|| Error::new(format!("invalid healthcheck-{name}: time: invalid duration {text:?}")))?;
    match Duration::try_from(parsed) {
        Ok(duration) => Ok(Some(duration)),
        Err(_) => Err(Error::new(format!("healthcheck-{name} must be 0 seconds or greater"))),
    }
}

/// `disable` and 0: no check but by hand.
fn interval(name: &str, text: Option<&str>) -> Result<Option<Duration>> {
    if text == Some("disable") { Ok(Some(Duration::ZERO)) } else { duration(name, text) }
}

fn timeout(name: &str, text: Option<&str>) -> Result<Option<Duration>> {
    match duration(name, text)? {
        Some(Duration::ZERO) => Err(Error::new(format!("healthcheck-{name} must be at least 1 second"))),
        timeout => Ok(timeout),
    }
}

fn action(text: Option<&str>) -> Result<Action> {
    match text.unwrap_or_default() {
        "" | "none" => Ok(Action::None),
        "kill" => Ok(Action::Kill),
        "restart" => Ok(Action::Restart),
        "stop" => Ok(Action::Stop),
        text => Err(Error::new(format!(
            "invalid on-failure action {text:?} for health check: supported actions are none,kill,restart,stop"
        ))),
    }
}

fn destination(text: Option<&str>) -> Result<Destination> {
    match text.unwrap_or_default() {
        "" | "local" => Ok(Destination::Local),
        "events_logger" => Ok(Destination::Events),
        text => {
            let path = PathBuf::from(text);
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => Ok(Destination::Directory(
                    std::path::absolute(&path).map_err(|e| Error::wrap(format!("cannot find {text}"), e))?,
                )),
                Ok(_) => Err(Error::new(format!("HealthCheck Log '{text}' destination must be directory"))),
                Err(e) => Err(Error::wrap(format!("HealthCheck Log '{text}' destination error"), e)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests() {
        for (text, expected) in [
            ("true", Some(&["CMD-SHELL", "true"][..])),
            ("curl -f  localhost || exit 1", Some(&["CMD-SHELL", "curl -f  localhost || exit 1"])),
            ("CMD nosuch arg", Some(&["CMD", "nosuch", "arg"])),
            ("CMD-SHELL a  b", Some(&["CMD-SHELL", "a  b"])),
            ("[\"a\", \"b c\"]", Some(&["CMD", "a", "b c"])),
            ("[\"a b\"]", Some(&["CMD-SHELL", "a b"])),
            ("[\"CMD-SHELL\",\"a b\"]", Some(&["CMD-SHELL", "a b"])),
            ("none", Some(&["NONE"])),
            ("", None),
            ("[]", None),
            ("CMD", None),
        ] {
            let got = command(text).ok();
            let expected = expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn an_update_leaves_what_is_not_typed() {
        let typed = Typed { cmd: Some("x"), interval: Some("5s"), retries: Some(7), ..Typed::default() };
        let check = changed(None, &typed).expect("changes").expect("a check");
        assert_eq!((check.interval.as_secs(), check.retries, check.timeout), (5, 7, TIMEOUT));
        assert_eq!(changed(Some(check.clone()), &Typed::default()).expect("changes"), Some(check.clone()));
        let typed =
            Typed { interval: Some("9s"), on_failure: Some("kill"), startup_cmd: Some("y"), ..Typed::default() };
        let check = changed(Some(check), &typed).expect("changes").expect("a check");
        assert_eq!((check.interval.as_secs(), check.retries, check.on_failure), (9, 7, Action::Kill));
        let typed = Typed { startup_retries: Some(3), cmd: Some("z"), ..Typed::default() };
        let check = changed(Some(check), &typed).expect("changes").expect("a check");
        let startup = check.startup.clone().expect("a start-up check");
        assert_eq!((startup.test[1].as_str(), startup.retries, check.test[1].as_str()), ("y", 3, "z"));
        for typed in [Typed { none: true, ..Typed::default() }, Typed { cmd: Some("none"), ..Typed::default() }] {
            assert_eq!(changed(Some(check.clone()), &typed).expect("changes"), None);
        }
        for typed in [
            Typed { none: true, cmd: Some("x"), ..Typed::default() },
            Typed { retries: Some(0), ..Typed::default() },
            Typed { timeout: Some("0s"), ..Typed::default() },
        ] {
            assert!(changed(Some(check.clone()), &typed).is_err(), "{typed:?}");
        }
        assert!(changed(None, &Typed { interval: Some("3s"), ..Typed::default() }).is_err());
    }

    #[test]
    fn the_flags_come_before_the_image() {
        let image = FromImage {
            test: vec!["CMD".into(), "x".into()],
            interval: 2_000_000_000,
            retries: 7,
            ..FromImage::default()
        };
        let options = HealthOptions::parse(&Typed { interval: Some("5s"), ..Typed::default() }).expect("parses");
        let check = options.resolve(Some(&image)).expect("resolves").expect("a check");
        assert_eq!((check.test.len(), check.interval.as_secs(), check.retries), (2, 5, 7));
        assert_eq!((check.timeout, check.start_period), (TIMEOUT, Duration::ZERO));
        assert_eq!(options.resolve(None).expect("resolves"), None);
        for typed in [Typed { none: true, ..Typed::default() }, Typed { cmd: Some("none"), ..Typed::default() }] {
            let options = HealthOptions::parse(&typed).expect("parses");
            assert_eq!(options.resolve(Some(&image)).expect("resolves"), None);
        }
        let disabled = Typed { cmd: Some("x"), interval: Some("disable"), ..Typed::default() };
        let check = HealthOptions::parse(&disabled).and_then(|options| options.resolve(None)).expect("parses");
        assert!(check.expect("a check").interval.is_zero());
    }
}
