//! `--name=value` in front of an instruction's words.

use std::collections::BTreeMap;

/// Flags as typed; a flag may be given several times.
#[derive(Debug, Default)]
pub(super) struct Flags(BTreeMap<String, Vec<Option<String>>>);

/// Takes the flags off the beginning of `text`; answers what follows.
pub(super) fn take(text: &str, escape: char) -> (Flags, &str) {
    let mut flags = Flags::default();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let end = word_end(rest, escape);
        let word = unquoted(&rest[..end], escape);
        rest = rest[end..].trim_start();
        if word == "--" {
            break;
        }
        let (name, value) = match word[2..].split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word[2..].to_owned(), None),
        };
        flags.0.entry(name).or_default().push(value);
    }
    (flags, rest)
}

/// Where the first word ends: at a blank outside of quotes.
fn word_end(text: &str, escape: char) -> usize {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            _ if c == escape => escaped = true,
            None if c.is_whitespace() => return at,
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// Quotes go, an escape before a quote or blank goes.
fn unquoted(word: &str, escape: char) -> String {
    let (mut quote, mut result) = (None, String::new());
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            _ if c == escape => result.push(chars.next().unwrap_or(c)),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => result.push(c),
        }
    }
    result
}

impl Flags {
    /// A flag with a value, given once.
    pub(super) fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.0.remove(name).as_deref() {
            None => Ok(None),
            Some([Some(value)]) => Ok(Some(value.clone())),
            Some([None]) => Err(format!("missing a value on flag: --{name}")),
            Some(_) => Err(format!("duplicate flag specified: --{name}")),
        }
    }

    /// A flag that may be given several times.
    pub(super) fn values(&mut self, name: &str) -> Result<Vec<String>, String> {
        let given = self.0.remove(name).unwrap_or_default();
        given.into_iter().map(|value| value.ok_or_else(|| format!("missing a value on flag: --{name}"))).collect()
    }

    /// `--name`, `--name=true`, `--name=false`.
    pub(super) fn switch(&mut self, name: &str) -> Result<Option<bool>, String> {
        match self.0.remove(name).as_deref() {
            None => Ok(None),
            Some([None]) => Ok(Some(true)),
            Some([Some(value)]) => match value.to_ascii_lowercase().as_str() {
                "true" | "1" | "t" => Ok(Some(true)),
                "false" | "0" | "f" => Ok(Some(false)),
                _ => Err(format!("expecting boolean value for flag --{name}, not: {value}")),
            },
            Some(_) => Err(format!("duplicate flag specified: --{name}")),
        }
    }

    /// # Errors
    /// When a flag is left that nobody asked for.
    pub(super) fn finish(self) -> Result<(), String> {
        match self.0.into_keys().next() {
            Some(name) => Err(format!("unknown flag: --{name}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_off() {
        let (mut flags, rest) = take("--from=a --chown=\"x y\" --link --exclude=1 --exclude='2 3'  a b --c", '\\');
        assert_eq!(rest, "a b --c");
        assert_eq!(flags.value("from"), Ok(Some("a".to_owned())));
        assert_eq!(flags.value("chown"), Ok(Some("x y".to_owned())));
        assert_eq!(flags.switch("link"), Ok(Some(true)));
        assert_eq!(flags.values("exclude"), Ok(vec!["1".to_owned(), "2 3".to_owned()]));
        assert_eq!(flags.finish(), Ok(()));
        assert_eq!(take("-- --a", '\\').1, "--a");
        let (mut flags, _) = take("--from --from=b --link=maybe --x", '\\');
        assert!(flags.value("from").is_err() && flags.switch("link").is_err() && flags.finish().is_err());
    }
}
