//! Points in time and durations as they are typed: `10m`, `2026-01-02`, `1767312000.5`, RFC 3339.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};
use crate::image::duration;

/// The moment that `text` names; a duration counts back from now, a time without an offset is local.
pub(crate) fn parse(option: &str, text: &str) -> Result<Timestamp> {
    moment(text)
        .ok_or_else(|| Error::new(format!("parsing {option} {text:?}: unable to interpret time value")).hint(
            "give a duration such as 10m or 1h30m, seconds since 1970, or a time such as 2026-01-02T15:04:05 (with an offset, else local)",
        ))
}

fn moment(text: &str) -> Option<Timestamp> {
    if let Some(duration) = duration::parse(text) {
        return Timestamp::now().checked_sub(duration).ok();
    }
    if let Some(seconds) = unix(text) {
        return Some(seconds);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let time: DateTime = match text.len() {
        // 2026-01-02T15, which the standard allows and the parser does not.
        13 => format!("{text}:00").parse().ok()?,
        _ => text.parse().ok()?,
    };
    time.to_zoned(TimeZone::system()).ok().map(|zoned| zoned.timestamp())
}

fn unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanos = format!("{fraction:0<9}");
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(seconds) || !digits(&nanos) || nanos.len() != 9 {
        return None;
    }
    Timestamp::new(seconds.parse().ok()?, nanos.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (text, expected) in [
            ("1767312000", Some("2026-01-02T00:00:00Z")),
            ("1767312000.25", Some("2026-01-02T00:00:00.25Z")),
            ("2026-01-02T00:00:00Z", Some("2026-01-02T00:00:00Z")),
            ("2026-01-02T01:00:00+01:00", Some("2026-01-02T00:00:00Z")),
            ("x", None),
            ("", None),
            ("2026-13-01", None),
        ] {
            assert_eq!(moment(text).map(|t| t.to_string()).as_deref(), expected, "{text}");
        }
        assert!(moment("2026-01-02").is_some() && moment("2026-01-02T03").is_some());
    }
}
