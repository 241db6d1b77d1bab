//! Durations and sizes in Docker's words (its go-units library), which people and scripts know.

use std::time::Duration;

/// "Less than a second", "About a minute", "3 hours", "2 weeks".
pub(crate) fn duration(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let minutes = seconds / 60;
    // Hours are rounded, everything else is cut off.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// [`duration`] with "ago". A time in the future (a clock that was set back) counts as now.
pub(crate) fn ago(since: jiff::Timestamp, now: jiff::Timestamp) -> String {
    let elapsed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    format!("{} ago", duration(elapsed))
}

/// Four digits at most and decimal units: "12.34MB", "1.2kB", "0B".
pub(crate) fn size(bytes: u64) -> String {
    let (number, unit) = scaled(bytes, 1000.0, 4, &["B", "kB", "MB", "GB", "TB", "PB", "EB"]);
    format!("{number}{unit}")
}

/// Four digits at most and binary units: "23.54GiB", "1.5KiB", "0B".
pub(crate) fn size_binary(bytes: u64) -> String {
    let (number, unit) = scaled(bytes, 1024.0, 4, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]);
    format!("{number}{unit}")
}

/// Three digits at most and a space, as in Podman's list of images: "193 MB".
pub(crate) fn size_spaced(bytes: u64) -> String {
    let (number, unit) = scaled(bytes, 1000.0, 3, &["B", "kB", "MB", "GB", "TB", "PB", "EB"]);
    format!("{number} {unit}")
}

/// `%.{digits}g` of the number in the largest unit that fits.
fn scaled(bytes: u64, base: f64, digits: usize, units: &[&'static str]) -> (String, &'static str) {
    #[expect(clippy::cast_precision_loss, reason = "three or four digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let mut text = significant(value, digits);
    // 999.96 kB is 1 MB when rounded to four digits, not 1000 kB.
    if text.parse::<f64>().is_ok_and(|rounded| rounded >= base) && unit + 1 < units.len() {
        unit += 1;
        text = "1".to_owned();
    }
    (text, units[unit])
}

/// `digits` significant digits without trailing zeros; whole numbers are not shortened.
fn significant(value: f64, digits: usize) -> String {
    let whole = value.trunc().to_string().len();
    let text = format!("{value:.*}", digits.saturating_sub(if value < 1.0 { 0 } else { whole }));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn durations_in_dockers_words() {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        for (seconds, wanted) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (HOUR - 1, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 1799, "About an hour"),
            (HOUR + 1800, "2 hours"),
            (47 * HOUR, "47 hours"),
            (2 * DAY, "2 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (59 * DAY, "8 weeks"),
            (60 * DAY, "2 months"),
            (729 * DAY, "24 months"),
            (730 * DAY, "2 years"),
            (1100 * DAY, "3 years"),
        ] {
            assert_eq!(super::duration(Duration::from_secs(seconds)), wanted, "{seconds}");
        }
        let at = |s| jiff::Timestamp::from_second(s).unwrap_or_default();
        assert_eq!(super::ago(at(100), at(103)), "3 seconds ago");
        assert_eq!(super::ago(at(103), at(100)), "Less than a second ago");
    }

    #[test]
    fn sizes_with_dockers_rounding() {
        for (bytes, wanted) in [(0, "0B"), (1536, "1.5KiB"), (25_275_000_000, "23.54GiB"), (1 << 20, "1MiB")] {
            assert_eq!(super::size_binary(bytes), wanted);
        }
        for (bytes, wanted, spaced) in [
            (0, "0B", "0 B"),
            (999, "999B", "999 B"),
            (1000, "1kB", "1 kB"),
            (1234, "1.234kB", "1.23 kB"),
            (12_345_678, "12.35MB", "12.3 MB"),
            (1_997_907, "1.998MB", "2 MB"),
            (193_104_590, "193.1MB", "193 MB"),
            (999_960, "1MB", "1 MB"),
            (999_940, "999.9kB", "1 MB"),
            (2_500_000_000, "2.5GB", "2.5 GB"),
            (u64::MAX, "18.45EB", "18.4 EB"),
        ] {
            assert_eq!(super::size(bytes), wanted);
            assert_eq!(super::size_spaced(bytes), spaced);
        }
    }
}
