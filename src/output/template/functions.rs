//! The functions of Go's templates, and those that Docker and Podman add.

use std::borrow::Cow;

use serde_json::Value;

use super::eval::Val;
use super::text::{of, of_optional, type_name};
use super::types::{View, json, view};
use super::{compare, printf, text, time};

const NAMES: &[&str] = &[
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html", "js", "urlquery", "eq", "ne",
    "lt", "le", "gt", "ge", "json", "join", "split", "lower", "upper", "title", "pad", "truncate",
];

pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls the function `name`; `and` and `or` do not come here, because they do not evaluate all their arguments.
pub(super) fn call<'v>(name: &str, args: &[Val<'v>]) -> Result<Val<'v>, String> {
    let value = match name {
        "not" => Value::Bool(!text::truth(one(name, args)?)),
        "len" => len(one(name, args)?)?,
        "index" => return index(args),
        "slice" => slice(args)?,
        "print" => Value::String(print(args)),
        "println" => Value::String(args.iter().map(|a| of_optional(a.as_deref())).collect::<Vec<_>>().join(" ") + "\n"),
        "printf" => Value::String(printf::format(args)?),
        "html" => Value::String(html(&print(args))),
        "js" => Value::String(javascript(&print(args))),
        "urlquery" => Value::String(query(&print(args))),
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => compare::call(name, args)?,
        "json" => Value::String(json(one(name, args)?.unwrap_or(&Value::Null))),
        "join" => join(args)?,
        "split" => {
            let [source, separator] = strings(name, args)?;
            match separator.is_empty() {
                true => source.chars().map(|c| Value::String(c.to_string())).collect(),
                false => source.split(separator.as_ref()).map(Value::from).collect(),
            }
        }
        "lower" => Value::String(strings::<1>(name, args)?[0].to_lowercase()),
        "upper" => Value::String(strings::<1>(name, args)?[0].to_uppercase()),
        "title" => Value::String(title(&strings::<1>(name, args)?[0])),
        "pad" => {
            let [source, before, after] = exactly(name, args)?;
            let (before, after) = (count(before)?, count(after)?);
            let source = of_optional(source);
            // Docker leaves an empty text empty.
            Value::String(if source.is_empty() {
                String::new()
            } else {
                format!("{}{source}{}", " ".repeat(before), " ".repeat(after))
            })
        }
        "truncate" => {
            let [source, length] = exactly(name, args)?;
            Value::String(of_optional(source).chars().take(count(length)?).collect())
        }
        _ => return Err(format!("{name:?} is not a function")),
    };
    Ok(Some(Cow::Owned(value)))
}

/// A method of one of Docker's or Podman's types: `.Label "name"` of a listed object.
pub(super) fn method(name: &str, object: Option<&Value>, args: &[Val<'_>]) -> Result<Value, String> {
    match (name, object) {
        ("Label", Some(object)) => {
            let [label] = strings(name, args)?;
            Ok(match object.get("Labels") {
                Some(Value::Object(labels)) => labels.get(label.as_ref()).cloned().unwrap_or_else(|| "".into()),
                Some(Value::String(labels)) => {
                    let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
                    pairs.into_iter().find(|(key, _)| *key == label).map_or("", |(_, value)| value).into()
                }
                _ => "".into(),
            })
        }
        ("Format", Some(object)) => match view(object) {
            View::Time(time) => time::format(time, &strings::<1>(name, args)?[0]).map(Value::from),
            _ => Err(format!("{name} is not a method of this value")),
        },
        _ => Err(format!("{name} is not a method but has arguments")),
    }
}

fn exactly<'a, const N: usize>(name: &str, args: &'a [Val<'_>]) -> Result<[Option<&'a Value>; N], String> {
    let values: Vec<_> = args.iter().map(|arg| arg.as_deref()).collect();
    values.try_into().map_err(|_| format!("wrong number of args for {name}: want {N} got {}", args.len()))
}

fn one<'a>(name: &str, args: &'a [Val<'_>]) -> Result<Option<&'a Value>, String> {
    exactly::<1>(name, args).map(|[value]| value)
}

fn strings<'a, const N: usize>(name: &str, args: &'a [Val<'_>]) -> Result<[Cow<'a, str>; N], String> {
    let values = exactly::<N>(name, args)?;
    if let Some(bad) = values.iter().flatten().find(|v| matches!(v, Value::Array(_) | Value::Object(_))) {
        return Err(format!("wrong type for value; expected string; got {}", type_name(bad)));
    }
    Ok(values.map(|value| value.map_or(Cow::Borrowed(""), of)))
}

/// A number of characters: bounded, so that no format makes gigabytes of spaces.
fn count(value: Option<&Value>) -> Result<usize, String> {
    let number = value.and_then(Value::as_i64).ok_or("wrong type for value; expected int")?;
    Ok(usize::try_from(number).unwrap_or(0).min(1 << 16))
}

/// Spaces stand between operands when neither is a string (fmt.Sprint).
fn print(args: &[Val<'_>]) -> String {
    let mut result = String::new();
    let is_string = |arg: &Val<'_>| matches!(arg.as_deref(), Some(Value::String(_)));
    for (i, arg) in args.iter().enumerate() {
        if i > 0 && !is_string(arg) && !is_string(&args[i - 1]) {
            result.push(' ');
        }
        result.push_str(&of_optional(arg.as_deref()));
    }
    result
}

fn len(value: Option<&Value>) -> Result<Value, String> {
    match value {
        Some(marked) if !matches!(view(marked), View::Plain) => match view(marked) {
            View::Nil(_) => Ok(0.into()),
            _ => Err("len of type struct".to_owned()),
        },
        Some(Value::String(text)) => Ok(text.len().into()),
        Some(Value::Array(list)) => Ok(list.len().into()),
        Some(Value::Object(map)) => Ok(map.len().into()),
        None | Some(Value::Null) => Err("len of nil pointer".to_owned()),
        Some(other) => Err(format!("len of type {}", type_name(other))),
    }
}

fn index<'v>(args: &[Val<'v>]) -> Result<Val<'v>, String> {
    let Some((first, keys)) = args.split_first() else {
        return Err("wrong number of args for index: want at least 1 got 0".to_owned());
    };
    let mut item = first.clone();
    for key in keys {
        let Some(current) = item else { return Err("index of untyped nil".to_owned()) };
        let key = key.as_deref().unwrap_or(&Value::Null);
        let find = |whole: &Value| -> Result<Option<Where>, String> {
            match (whole, key) {
                (whole, Value::String(_)) if matches!(view(whole), View::Nil("map[]")) => Ok(None),
                (whole, key) if matches!(view(whole), View::Nil(_)) => Err(format!("index out of range: {key}")),
                (Value::Array(list), Value::Number(n)) => match n.as_u64().and_then(|n| usize::try_from(n).ok()) {
                    Some(i) if i < list.len() => Ok(Some(Where::Index(i))),
                    _ => Err(format!("index out of range: {n}")),
                },
                (Value::String(text), Value::Number(n)) => {
                    let byte = n.as_u64().and_then(|n| text.as_bytes().get(usize::try_from(n).ok()?));
                    byte.map(|b| Some(Where::Byte(*b))).ok_or_else(|| format!("index out of range: {n}"))
                }
                (Value::Object(map), Value::String(name)) => {
                    Ok(map.contains_key(name).then(|| Where::Key(name.clone())))
                }
                (Value::Null, Value::String(_)) => Ok(None),
                (Value::Null, _) => Err("index of nil pointer".to_owned()),
                (Value::Array(_) | Value::String(_), other) => {
                    Err(format!("cannot index slice/array with type {}", type_name(other)))
                }
                (Value::Object(_), other) => Err(format!("value has type {}; should be string", type_name(other))),
                (other, _) => Err(format!("can't index item of type {}", type_name(other))),
            }
        };
        item = match find(&current)? {
            None => absent(&current).map(Cow::Owned),
            Some(Where::Byte(byte)) => Some(Cow::Owned(byte.into())),
            Some(Where::Index(i)) => get(current, i),
            Some(Where::Key(name)) => get(current, name.as_str()),
        };
    }
    Ok(item)
}

/// What a map answers for a key that it does not have: the zero value of its elements' type, which the others show.
fn absent(map: &Value) -> Option<Value> {
    let zero = |element: &Value| match (view(element), element) {
        (View::Plain, Value::String(_)) => Some("".into()),
        (View::Plain, Value::Number(_)) => Some(0.into()),
        (View::Plain, Value::Bool(_)) => Some(false.into()),
        (View::Plain, Value::Array(_)) => Some(Value::Array(Vec::new())),
        _ => None,
    };
    match (view(map), map) {
        // Most maps are of texts.
        (View::Nil(_), _) => Some("".into()),
        (View::Plain, Value::Object(elements)) => match elements.values().next() {
            None => Some("".into()),
            Some(first) => {
                let kind = std::mem::discriminant(first);
                let alike = elements.values().all(|element| std::mem::discriminant(element) == kind);
                zero(first).filter(|_| alike)
            }
        },
        _ => None,
    }
}

enum Where {
    Index(usize),
    Key(String),
    Byte(u8),
}

fn get<'v, I: serde_json::value::Index>(whole: Cow<'v, Value>, index: I) -> Val<'v> {
    match whole {
        Cow::Borrowed(whole) => whole.get(index).map(Cow::Borrowed),
        Cow::Owned(mut whole) => whole.get_mut(index).map(Value::take).map(Cow::Owned),
    }
}

fn slice(args: &[Val<'_>]) -> Result<Value, String> {
    let Some((Some(item), bounds)) = args.split_first() else { return Err("slice of untyped nil".to_owned()) };
    let length = match item.as_ref() {
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", type_name(other))),
    };
    let bound = |i: usize, default: usize| match bounds.get(i).map(|b| b.as_deref().and_then(Value::as_u64)) {
        None => Ok(default),
        Some(Some(n)) => match usize::try_from(n) {
            Ok(n) if n <= length => Ok(n),
            _ => Err(format!("index out of range: {n}")),
        },
        Some(None) => Err("cannot index slice/array with that type".to_owned()),
    };
    let (start, end) = (bound(0, 0)?, bound(1, length)?);
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    Ok(match item.as_ref() {
        Value::String(text) => String::from_utf8_lossy(&text.as_bytes()[start..end]).into_owned().into(),
        Value::Array(list) => list[start..end].to_vec().into(),
        _ => Value::Null,
    })
}

fn join(args: &[Val<'_>]) -> Result<Value, String> {
    let [list, separator] = exactly("join", args)?;
    let separator = of_optional(separator);
    match list {
        Some(Value::Array(items)) => {
            let items: Vec<_> = items.iter().map(of).collect();
            Ok(items.join(&separator).into())
        }
        None | Some(Value::Null) => Ok("".into()),
        Some(empty) if matches!(view(empty), View::Nil(_)) => Ok("".into()),
        Some(other) => Err(format!("wrong type for value; expected []string; got {}", type_name(other))),
    }
}

/// `strings.Title`: the first letter of each word.
fn title(text: &str) -> String {
    let mut previous = ' ';
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        let inside = previous.is_alphanumeric() || previous == '_' || previous == '\'';
        if inside {
            result.push(c)
        } else {
            result.extend(c.to_uppercase())
        }
        previous = c;
    }
    result
}

fn html(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => result.push_str("&#34;"),
            '\'' => result.push_str("&#39;"),
            '&' => result.push_str("&amp;"),
            '<' => result.push_str("&lt;"),
            '>' => result.push_str("&gt;"),
            '\0' => result.push('\u{fffd}'),
            c => result.push(c),
        }
    }
    result
}

fn javascript(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => result.push_str("\\\\"),
            '\'' => result.push_str("\\'"),
            '"' => result.push_str("\\\""),
            '<' | '>' | '&' | '=' => result.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => result.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => result.push(c),
        }
    }
    result
}

/// `url.QueryEscape`.
fn query(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => result.push(char::from(byte)),
            b' ' => result.push('+'),
            byte => result.push_str(&format!("%{byte:02X}")),
        }
    }
    result
}
