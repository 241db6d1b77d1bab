//! `printf` with Go's verbs, flags and complaints (`%!d(string=x)`).

use serde_json::Value;

use super::eval::Val;
use super::text::{general, go_exponent, of, of_optional, quote, type_name};
use super::types::{View, view};

/// Widths and precisions beyond this are refused, as Go refuses them.
const MAX: usize = 1_000_000;

#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

pub(super) fn format(args: &[Val<'_>]) -> Result<String, String> {
    let Some((format, args)) = args.split_first() else {
        return Err("wrong number of args for printf: want at least 1 got 0".to_owned());
    };
    let Some(Value::String(format)) = format.as_deref() else {
        return Err("wrong type for value; expected string".to_owned());
    };
    let mut args = args.iter();
    let mut result = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            result.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                _ => spec.zero = true,
            }
        }
        spec.width = size(&mut chars, &mut args, &mut spec.minus)?;
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(size(&mut chars, &mut args, &mut false)?.unwrap_or(0));
        }
        match chars.next() {
            None => result.push_str("%!(NOVERB)"),
            Some('%') => result.push('%'),
            Some(verb) => match args.next() {
                None => result.push_str(&format!("%!{verb}(MISSING)")),
                Some(arg) => result.push_str(&spec.value(verb, arg.as_deref())),
            },
        }
    }
    let extra: Vec<_> = args.filter_map(|a| a.as_deref()).map(|v| format!("{}={}", type_name(v), of(v))).collect();
    if !extra.is_empty() {
        result.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(result)
}

/// Digits, or `*` for the next argument.
fn size<'a, 'v: 'a>(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    args: &mut impl Iterator<Item = &'a Val<'v>>,
    minus: &mut bool,
) -> Result<Option<usize>, String> {
    let number = if chars.next_if_eq(&'*').is_some() {
        let value = args.next().and_then(|arg| arg.as_deref()).and_then(Value::as_i64).ok_or("%!(BADWIDTH)")?;
        *minus |= value < 0;
        usize::try_from(value.unsigned_abs()).ok()
    } else {
        let mut digits = String::new();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        if digits.is_empty() {
            return Ok(None);
        }
        digits.parse().ok()
    };
    number.filter(|n| *n <= MAX).map(Some).ok_or_else(|| "width or precision is too large".to_owned())
}

impl Spec {
    fn value(&self, verb: char, value: Option<&Value>) -> String {
        let list = |open: &str, items: Vec<String>, close: &str| format!("{open}{}{close}", items.join(" "));
        match value {
            // Lists and maps are written element by element.
            Some(Value::Array(items)) if verb != 'T' => {
                list("[", items.iter().map(|v| self.value(verb, Some(v))).collect(), "]")
            }
            Some(marked) if !matches!(view(marked), View::Plain) => match view(marked) {
                View::Struct(structure) => {
                    list("{", structure.values().map(|v| self.value(verb, Some(v))).collect(), "}")
                }
                _ => self.scalar(verb, Some(&Value::from(of(marked)))),
            },
            Some(Value::Object(map)) if verb != 'T' => {
                let mut keys: Vec<_> = map.iter().collect();
                keys.sort_by_key(|(key, _)| *key);
                let item = |(k, v): (&String, &Value)| format!("{k}:{}", self.value(verb, Some(v)));
                list("map[", keys.into_iter().map(item).collect(), "]")
            }
            _ => self.scalar(verb, value),
        }
    }

    fn scalar(&self, verb: char, value: Option<&Value>) -> String {
        let cut = |text: &str| self.precision.map_or(text.to_owned(), |n| text.chars().take(n).collect());
        let text = match (verb, value) {
            ('T', Some(value)) => type_name(value).to_owned(),
            ('v', None) => "<no value>".to_owned(),
            ('v', Some(Value::String(text))) if self.sharp => quote(text),
            ('v', Some(Value::Number(number))) => {
                let text = of(&Value::Number(number.clone())).into_owned();
                return self.number(&text);
            }
            ('v' | 's', Some(Value::String(text))) => cut(text),
            ('v', Some(value)) => of(value).into_owned(),
            ('t', Some(Value::Bool(value))) => value.to_string(),
            ('q', Some(Value::String(text))) => quote(&cut(text)),
            ('x', Some(Value::String(text))) => text.bytes().map(|b| format!("{b:02x}")).collect(),
            ('X', Some(Value::String(text))) => text.bytes().map(|b| format!("{b:02X}")).collect(),
            (_, Some(Value::Number(number))) => match self.numeric(verb, number) {
                Some(text) => return text,
                None => bad(verb, value),
            },
            _ => bad(verb, value),
        };
        self.pad(&text, ' ')
    }

    fn numeric(&self, verb: char, number: &serde_json::Number) -> Option<String> {
        let float = || number.as_f64().filter(|_| number.is_f64());
        let precision = self.precision.unwrap_or(6);
        let text = match verb {
            'd' => number.as_i64().map(|n| n.to_string()).or_else(|| number.as_u64().map(|n| n.to_string()))?,
            'x' | 'X' | 'o' | 'b' => {
                let value = number.as_i64()?;
                let (digits, prefix) = match verb {
                    'x' => (format!("{:x}", value.unsigned_abs()), "0x"),
                    'X' => (format!("{:X}", value.unsigned_abs()), "0X"),
                    'o' => (format!("{:o}", value.unsigned_abs()), "0"),
                    _ => (format!("{:b}", value.unsigned_abs()), "0b"),
                };
                let (sign, prefix) = (if value < 0 { "-" } else { "" }, if self.sharp { prefix } else { "" });
                format!("{sign}{prefix}{digits}")
            }
            'c' | 'q' | 'U' => {
                let code = u32::try_from(number.as_u64()?).ok()?;
                let c = char::from_u32(code)?;
                let text = match verb {
                    'c' => c.to_string(),
                    'q' => format!("{c:?}"),
                    _ => format!("U+{code:04X}"),
                };
                return Some(self.pad(&text, ' '));
            }
            'f' | 'F' => format!("{:.precision$}", float()?),
            'e' => go_exponent(&format!("{:.precision$e}", float()?)),
            'E' => go_exponent(&format!("{:.precision$e}", float()?)).replace('e', "E"),
            'g' => general(float()?),
            'G' => general(float()?).to_uppercase(),
            _ => return None,
        };
        Some(self.number(&text))
    }

    /// Sign, then zeros or spaces up to the width.
    fn number(&self, text: &str) -> String {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None if self.plus => ("+", text),
            None if self.space => (" ", text),
            None => ("", text),
        };
        let width = self.width.unwrap_or(0).saturating_sub(sign.len());
        if self.zero && !self.minus {
            return format!("{sign}{digits:0>width$}");
        }
        self.pad(&format!("{sign}{digits}"), ' ')
    }

    fn pad(&self, text: &str, with: char) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        let padding: String = std::iter::repeat_n(with, missing).collect();
        if self.minus { format!("{text}{padding}") } else { format!("{padding}{text}") }
    }
}

fn bad(verb: char, value: Option<&Value>) -> String {
    match value {
        Some(value) => format!("%!{verb}({}={})", type_name(value), of(value)),
        None => format!("%!{verb}({})", of_optional(None)),
    }
}
