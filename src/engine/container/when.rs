//! Points in time and durations as they are typed: `10m`, `2026-01-02`, `1767312000.5`, RFC 3339.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Result};

/// The moment that `text` names; a duration counts back from now, a time without an offset is local.
pub(crate) fn parse(option: &str, text: &str) -> Result<Timestamp> {
    moment(text)
        .ok_or_else(|| Error::new(format!("parsing {option} {text:?}: unable to interpret time value")).hint(
            "give a duration such as 10m or 1h30m, seconds since 1970, or a time such as 2026-01-02T15:04:05 (with an offset, else local)",
        ))
}

fn moment(text: &str) -> Option<Timestamp> {
    if let Some(duration) = duration(text) {
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

/// A duration as Go writes it: `1h30m`, `1.5s`, `250ms`.
pub(crate) fn duration(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0f64;
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let unit = rest[number..].len() - rest[number..].trim_start_matches(|c: char| c.is_alphabetic()).len();
        let value: f64 = rest[..number].parse().ok()?;
        seconds += value
            * match &rest[number..number + unit] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[number + unit..];
    }
    SignedDuration::try_from_secs_f64(if negative { -seconds } else { seconds }).ok()
}

/// A duration as Go writes it: `1h30m0s`, `1.5s`, `409.417932ms`, `0s`.
pub(crate) fn written(duration: std::time::Duration) -> String {
    let nanos = duration.as_nanos();
    let decimal = |value: u128, unit: u128| {
        let (whole, rest) = (value / unit, value % unit);
        let digits = unit.ilog10() as usize;
        let text = format!("{whole}.{rest:0digits$}");
        if digits == 0 { whole.to_string() } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanos, 1_000_000)),
        _ => {
            let minutes = nanos / 60_000_000_000;
            let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("10m", Some(600_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5s", Some(1500)),
            ("250ms", Some(250)),
            ("-1s", Some(-1000)),
            ("10", None),
            ("m", None),
            ("", None),
            ("1x", None),
            ("1h-", None),
        ] {
            assert_eq!(duration(text).map(|d| d.as_millis()), millis, "{text}");
        }
    }

    #[test]
    fn written_as_go_does() {
        for (nanos, wanted) in [
            (0, "0s"),
            (15, "15ns"),
            (1_500, "1.5µs"),
            (409_417_932, "409.417932ms"),
            (4_897_000, "4.897ms"),
            (1_000_000_000, "1s"),
            (2_219_683_731, "2.219683731s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_061_500_000_000, "25h1m1.5s"),
        ] {
            assert_eq!(written(std::time::Duration::from_nanos(nanos)), wanted);
        }
    }

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
