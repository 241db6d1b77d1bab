//! How Go's fmt writes values with `%v`, and what its templates take for true.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Number, Value};

use super::time;
use super::types::{View, view};

pub(super) fn of_optional(value: Option<&Value>) -> Cow<'_, str> {
    value.map_or(Cow::Borrowed("<no value>"), of)
}

pub(super) fn of(value: &Value) -> Cow<'_, str> {
    match view(value) {
        View::Struct(structure) => {
            let values: Vec<_> = structure.values().map(of).collect();
            return Cow::Owned(format!("{{{}}}", values.join(" ")));
        }
        View::Time(text) => return Cow::Owned(time::usual(text)),
        View::Nil(text) => return Cow::Borrowed(text),
        View::Plain => {}
    }
    match value {
        Value::Null => Cow::Borrowed("<nil>"),
        Value::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
        Value::String(text) => Cow::Borrowed(text),
        Value::Number(value) => Cow::Owned(number(value)),
        Value::Array(list) => {
            let items: Vec<_> = list.iter().map(of).collect();
            Cow::Owned(format!("[{}]", items.join(" ")))
        }
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            let items: Vec<_> = keys.into_iter().map(|(key, value)| format!("{key}:{}", of(value))).collect();
            Cow::Owned(format!("map[{}]", items.join(" ")))
        }
    }
}

/// `%v` of a float64 is `%g` with the fewest digits.
fn number(value: &Number) -> String {
    match value.as_f64().filter(|_| value.is_f64()) {
        Some(float) => general(float),
        None => value.to_string(),
    }
}

/// `%g`: the fewest digits, with an exponent below 1e-4 and from 1e6 on.
pub(super) fn general(value: f64) -> String {
    let scientific = format!("{value:e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    if value != 0.0 && !(-4..6).contains(&exponent) { go_exponent(&scientific) } else { value.to_string() }
}

/// Rust's `1e-7` as Go's `1e-07`.
pub(super) fn go_exponent(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text.to_owned(),
    }
}

/// Empty things are false, and so is what is not there.
pub(super) fn truth(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(value)) => *value,
        Some(Value::Number(value)) => value.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(value @ Value::Object(map)) => match view(value) {
            View::Nil(_) => false,
            _ => !map.is_empty(),
        },
    }
}

/// Go's name for the type, in messages.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(value) if value.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// `strconv.Quote`.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        let _ = match c {
            '"' => write!(quoted, "\\\""),
            '\\' => write!(quoted, "\\\\"),
            '\n' => write!(quoted, "\\n"),
            '\t' => write!(quoted, "\\t"),
            '\r' => write!(quoted, "\\r"),
            '\u{7}' => write!(quoted, "\\a"),
            '\u{8}' => write!(quoted, "\\b"),
            '\u{c}' => write!(quoted, "\\f"),
            '\u{b}' => write!(quoted, "\\v"),
            c if c.is_ascii_control() => write!(quoted, "\\x{:02x}", u32::from(c)),
            c if c.is_control() => write!(quoted, "\\u{:04x}", u32::from(c)),
            c => write!(quoted, "{c}"),
        };
    }
    quoted.push('"');
    quoted
}
