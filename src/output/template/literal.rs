//! Go's literals: escapes in strings, and numbers.

use serde_json::Number;

/// The value of what stands between double or single quotes; `None` when an escape is not Go's.
pub(super) fn unescape(body: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let code = match chars.next()? {
            'a' => 7,
            'b' => 8,
            't' => 9,
            'n' => 10,
            'v' => 11,
            'f' => 12,
            'r' => 13,
            c @ ('\\' | '"' | '\'') => u32::from(c),
            'x' => {
                bytes.push(u8::try_from(hex(&mut chars, 2)?).ok()?);
                continue;
            }
            'u' => hex(&mut chars, 4)?,
            'U' => hex(&mut chars, 8)?,
            c @ '0'..='7' => {
                let rest: Option<u32> =
                    (0..2).try_fold(c.to_digit(8)?, |value, _| Some(value * 8 + chars.next()?.to_digit(8)?));
                bytes.push(u8::try_from(rest?).ok()?);
                continue;
            }
            _ => return None,
        };
        bytes.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(chars: &mut std::str::Chars<'_>, count: usize) -> Option<u32> {
    (0..count).try_fold(0u32, |value, _| value.checked_mul(16)?.checked_add(chars.next()?.to_digit(16)?))
}

/// Decimal, `0x`, `0o`, `0b` and old octal integers with underscores; decimal floats.
pub(super) fn number(text: &str) -> Option<Number> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', rest @ ..] if !rest.is_empty() && rest.iter().all(u8::is_ascii_digit) => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if let Ok(value) = u64::from_str_radix(body, radix) {
        return if negative { 0i64.checked_sub_unsigned(value).map(Number::from) } else { Some(Number::from(value)) };
    }
    let looks_decimal = radix == 10 && body.bytes().all(|b| b.is_ascii_digit() || b".e+-".contains(&b));
    let value: f64 = body.parse().ok().filter(|_| looks_decimal)?;
    Number::from_f64(if negative { -value } else { value })
}
