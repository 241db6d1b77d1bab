//! Durations as Go reads and writes them, and with it Docker, Podman and their images.

use jiff::SignedDuration;

/// `1h30m`, `1.5s`, `-250ms`; without a unit only 0.
pub(crate) fn parse(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    if rest == "0" {
        return Some(SignedDuration::ZERO);
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

/// `1h30m0s`, `1.5s`, `409.417932ms`, `0s`.
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
            ("0", Some(0)),
            ("10", None),
            ("m", None),
            ("", None),
            ("1x", None),
            ("1h-", None),
        ] {
            assert_eq!(parse(text).map(|d| d.as_millis()), millis, "{text}");
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
}
