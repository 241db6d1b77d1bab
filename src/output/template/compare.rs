//! `eq ne lt le gt ge`.

use std::cmp::Ordering;

use serde_json::Value;

use super::eval::Val;
use super::text::type_name;

/// `eq` is true when the first argument equals one of the others; the rest take two.
pub(super) fn call(name: &str, args: &[Val<'_>]) -> Result<Value, String> {
    let values: Vec<&Value> = args.iter().map(|arg| arg.as_deref().unwrap_or(&Value::Null)).collect();
    let result = match (name, values.as_slice()) {
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            let mut equal = false;
            for other in others {
                equal |= equals(first, other)?;
            }
            equal
        }
        ("eq", _) => return Err("missing argument for comparison".to_owned()),
        ("ne", [a, b]) => !equals(a, b)?,
        ("lt", [a, b]) => order(a, b)? == Ordering::Less,
        ("le", [a, b]) => order(a, b)? != Ordering::Greater,
        ("gt", [a, b]) => order(a, b)? == Ordering::Greater,
        ("ge", [a, b]) => order(a, b)? != Ordering::Less,
        _ => return Err(format!("wrong number of args for {name}: want 2 got {}", values.len())),
    };
    Ok(Value::Bool(result))
}

fn equals(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Null, Value::Null) => Ok(true),
        (Value::Null, _) | (_, Value::Null) => Ok(false),
        (Value::Array(_) | Value::Object(_), _) => Err(format!("non-comparable type {}", type_name(a))),
        (_, Value::Array(_) | Value::Object(_)) => Err(format!("non-comparable type {}", type_name(b))),
        (Value::Number(x), Value::Number(y)) => {
            Ok(if x.is_f64() || y.is_f64() { x.as_f64() == y.as_f64() } else { x == y })
        }
        _ if std::mem::discriminant(a) == std::mem::discriminant(b) => Ok(a == b),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    match (a, b) {
        (Value::String(x), Value::String(y)) => Ok(x.cmp(y)),
        (Value::Number(x), Value::Number(y)) => match (x.as_i64(), y.as_i64()) {
            (Some(x), Some(y)) => Ok(x.cmp(&y)),
            _ => x.as_f64().partial_cmp(&y.as_f64()).ok_or_else(|| "NaN has no order".to_owned()),
        },
        (Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_), _) => {
            Err("invalid type for comparison".to_owned())
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}
