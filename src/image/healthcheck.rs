//! The HEALTHCHECK instruction: `NONE`, or `[--interval=5s …] CMD command` (Dockerfile reference).

use super::config::Healthcheck;
use super::duration;
use crate::error::{Error, Result};

/// Reads what follows the word HEALTHCHECK.
pub(crate) fn parse(mut text: &str) -> Result<Healthcheck> {
    let mut check = Healthcheck::default();
    loop {
        text = text.trim_start();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if let Some(option) = word.strip_prefix("--") {
            let (name, value) =
                option.split_once('=').ok_or_else(|| Error::new(format!("unknown option {word:?} in HEALTHCHECK")))?;
            let bad = || Error::new(format!("{value:?} is no value for --{name} of HEALTHCHECK"));
            let nanoseconds = || nanoseconds(value).ok_or_else(bad);
            match name {
                "interval" => check.interval = nanoseconds()?,
                "timeout" => check.timeout = nanoseconds()?,
                "start-period" => check.start_period = nanoseconds()?,
                "start-interval" => check.start_interval = nanoseconds()?,
                "retries" => check.retries = value.parse().ok().filter(|n| *n >= 0).ok_or_else(bad)?,
                _ => return Err(Error::new(format!("unknown option --{name} in HEALTHCHECK"))),
            }
            text = rest;
            continue;
        }
        let rest = rest.trim();
        check.test = match (word.to_ascii_uppercase().as_str(), rest) {
            ("NONE", "") => vec!["NONE".to_owned()],
            ("CMD", "") => return Err(Error::new("HEALTHCHECK CMD has no command")),
            ("CMD", command) => match serde_json::from_str::<Vec<String>>(command) {
                Ok(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
                Err(_) => vec!["CMD-SHELL".to_owned(), command.to_owned()],
            },
            _ => return Err(Error::new(format!("HEALTHCHECK {word:?}: expected NONE or CMD"))),
        };
        return Ok(check);
    }
}

/// In nanoseconds: nothing, or at least a millisecond (Docker's rule).
fn nanoseconds(text: &str) -> Option<i64> {
    let nanoseconds = i64::try_from(duration::parse(text)?.as_nanos()).ok()?;
    (nanoseconds == 0 || nanoseconds >= 1_000_000).then_some(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions() {
        let check = parse("--interval=1m30s --timeout=500ms --retries=3 CMD curl -f x").expect("parses");
        assert_eq!((check.interval, check.timeout, check.retries), (90_000_000_000, 500_000_000, 3));
        assert_eq!(check.test, ["CMD-SHELL", "curl -f x"]);
        assert_eq!(parse("cmd [\"a\", \"b\"]").expect("parses").test, ["CMD", "a", "b"]);
        assert_eq!(parse("NONE").expect("parses").test, ["NONE"]);
        for bad in [
            "",
            "CMD",
            "NONE x",
            "FOO x",
            "--interval CMD x",
            "--interval=5 CMD x",
            "--retries=-1 CMD x",
            "--often=1s CMD x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
