//! Go's time.Time in templates: how it is written, and its methods.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::Value;

/// What [`Zoned`] writes as Go's `String` does.
const USUAL: &str = "%Y-%m-%d %H:%M:%S%.f %z %Z";

/// Pieces of Go's layouts with strftime(3)'s; longer ones before those that they begin with.
const PIECES: [(&str, &str); 31] = [
    ("January", "%B"),
    ("Monday", "%A"),
    ("-07:00", "%:z"),
    ("Z07:00", "%:z"),
    ("-0700", "%z"),
    ("2006", "%Y"),
    ("Jan", "%b"),
    ("Mon", "%a"),
    ("MST", "%Z"),
    (".000000000", ".%9f"),
    (".000000", ".%6f"),
    (".000", ".%3f"),
    (".999999999", "%.f"),
    ("-07", "%z"),
    ("_2", "%e"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
    ("4", "%-M"),
    ("5", "%-S"),
    ("%", "%%"),
    ("T", "T"),
];

fn read(text: &str) -> Result<Zoned, String> {
    let time: Timestamp = text.parse().map_err(|_| format!("{text:?} is not a time"))?;
    Ok(time.to_zoned(TimeZone::UTC))
}

/// With `%v`.
pub(super) fn usual(text: &str) -> String {
    read(text).map_or_else(|_| text.to_owned(), |time| time.strftime(USUAL).to_string())
}

/// A method without arguments; `None`: there is none of that name.
pub(super) fn method(text: &str, name: &str) -> Option<Value> {
    let time = read(text).ok()?;
    let stamp = time.timestamp();
    Some(match name {
        "String" => usual(text).into(),
        "Year" => time.year().into(),
        "Month" => time.strftime("%B").to_string().into(),
        "Weekday" => time.strftime("%A").to_string().into(),
        "Day" => time.day().into(),
        "YearDay" => time.day_of_year().into(),
        "Hour" => time.hour().into(),
        "Minute" => time.minute().into(),
        "Second" => time.second().into(),
        "Nanosecond" => time.subsec_nanosecond().into(),
        "Unix" => stamp.as_second().into(),
        "UnixMilli" => stamp.as_millisecond().into(),
        "UnixMicro" => stamp.as_microsecond().into(),
        "UnixNano" => i64::try_from(stamp.as_nanosecond()).unwrap_or_default().into(),
        "IsZero" => text.starts_with("0001-01-01T00:00:00").into(),
        _ => return None,
    })
}

/// `.Format "2006-01-02"`
pub(super) fn format(text: &str, layout: &str) -> Result<String, String> {
    let time = read(text)?;
    let mut wanted = String::with_capacity(layout.len());
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        let piece = PIECES.iter().find(|(piece, _)| rest.starts_with(piece));
        // In UTC, which all times here are in, this one is a letter.
        let (go, posix) = piece.map_or((&rest[..first.len_utf8()], &rest[..first.len_utf8()]), |(go, posix)| {
            (*go, if *go == "Z07:00" { "Z" } else { *posix })
        });
        wanted.push_str(posix);
        rest = &rest[go.len()..];
    }
    let mut shown = String::new();
    write!(shown, "{}", time.strftime(&wanted)).map_err(|_| format!("cannot write a time as {layout:?}"))?;
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_gos() {
        let time = "2026-11-03T04:05:06.0708Z";
        for (layout, wanted) in [
            ("2006-01-02", "2026-11-03"),
            ("2006-01-02T15:04:05Z07:00", "2026-11-03T04:05:06Z"),
            ("Mon Jan _2 15:04:05 MST 2006", "Tue Nov  3 04:05:06 UTC 2026"),
            ("2.1.06 3:04 PM 100%", "3.11.26 4:05 AM 1100%"),
            ("15:04:05.000", "04:05:06.070"),
        ] {
            assert_eq!(format(time, layout).as_deref(), Ok(wanted), "{layout}");
        }
        assert_eq!(usual(time), "2026-11-03 04:05:06.0708 +0000 UTC");
        assert_eq!(usual("0001-01-01T00:00:00Z"), "0001-01-01 00:00:00 +0000 UTC");
        assert_eq!(method(time, "Year"), Some(2026.into()));
        assert_eq!(method(time, "Unix"), Some(1_793_678_706_i64.into()));
        assert_eq!(method(time, "Nosuch"), None);
    }
}
