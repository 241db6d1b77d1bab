//! Variables, quotes and escapes in the words of instructions (BuildKit's frontend/dockerfile/shell).
//!
//! ```text
//! $x ${x}  ${x:-w} ${x-w}  ${x:+w} ${x+w}  ${x:?w} ${x?w}  ${x#p} ${x##p} ${x%p} ${x%%p}  ${x/p/r} ${x//p/r}
//! ```
//! In patterns `*` and `?` stand for anything and for one character (`pattern`).

use super::pattern::Pattern;

/// Finds a variable's value.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// How deep `${a:-${b:-…}}` may go.
const DEPTH: usize = 64;

/// Bytes of the words of one instruction: of a variable, no program could be given an eighth of it (MAX_ARG_STRLEN).
pub(crate) const LONGEST: usize = 1 << 20;

/// Bytes of a here-document, which is a file.
const LONGEST_DOCUMENT: usize = 64 << 20;

/// One word: variables replaced, quotes and escapes gone.
pub(crate) fn word(text: &str, escape: char, lookup: &Lookup<'_>) -> Result<String, String> {
    Ok(Scanner::new(text, escape, Mode::Plain, lookup).run(None, false)?.0)
}

/// Words split at blanks outside of quotes; what a variable without quotes holds is split as well.
pub(crate) fn words(text: &str, escape: char, lookup: &Lookup<'_>) -> Result<Vec<String>, String> {
    Ok(Scanner::new(text, escape, Mode::Plain, lookup).run(None, false)?.1)
}

/// Text in which only variables are replaced: quotes and escapes stay (here-documents).
pub(crate) fn text(text: &str, escape: char, lookup: &Lookup<'_>) -> Result<String, String> {
    Ok(Scanner::new(text, escape, Mode::Document, lookup).run(None, false)?.0)
}

/// One word without its quotes and escapes; `$` stands for itself.
pub(super) fn unquote(text: &str, escape: char) -> Result<String, String> {
    Ok(Scanner::new(text, escape, Mode::NoVariables, &|_| None).run(None, false)?.0)
}

/// Words split at blanks outside of quotes, everything in them kept as it is.
pub(super) fn raw_words(text: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    /// Quotes and escapes stay, but an escaped `$` is one.
    Document,
    NoVariables,
}

struct Scanner<'a> {
    chars: Vec<char>,
    at: usize,
    escape: char,
    mode: Mode,
    lookup: &'a Lookup<'a>,
    depth: usize,
}

/// Words under construction: quoted text never splits and may be empty.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
    started: bool,
}

impl Words {
    fn raw(&mut self, text: &str) {
        self.current.push_str(text);
        self.started = true;
    }

    fn char(&mut self, c: char) {
        if c.is_whitespace() {
            self.end();
        } else {
            self.current.push(c);
            self.started = true;
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.started) {
            self.done.push(std::mem::take(&mut self.current));
        }
    }
}

impl<'a> Scanner<'a> {
    fn new(text: &str, escape: char, mode: Mode, lookup: &'a Lookup<'a>) -> Self {
        Self { chars: text.chars().collect(), at: 0, escape, mode, lookup, depth: 0 }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    /// Up to `stop`, which is taken. `keep_escapes`: of patterns, which have an own meaning for them.
    fn run(&mut self, stop: Option<char>, keep_escapes: bool) -> Result<(String, Vec<String>), String> {
        let (mut result, mut words) = (String::new(), Words::default());
        let quotes = self.mode != Mode::Document;
        while let Some(c) = self.peek() {
            self.check(&result)?;
            if Some(c) == stop {
                self.at += 1;
                words.end();
                return Ok((result, words.done));
            }
            match c {
                '\'' if quotes => {
                    let text = self.single_quoted()?;
                    result.push_str(&text);
                    words.raw(&text);
                }
                '"' if quotes => {
                    let text = self.double_quoted()?;
                    result.push_str(&text);
                    words.raw(&text);
                }
                '$' if self.mode != Mode::NoVariables => {
                    let text = self.dollar()?;
                    result.push_str(&text);
                    text.chars().for_each(|c| words.char(c));
                }
                _ => {
                    self.at += 1;
                    if c != self.escape {
                        result.push(c);
                        words.char(c);
                        continue;
                    }
                    if keep_escapes || self.mode == Mode::Document && self.peek() != Some('$') {
                        result.push(c);
                        words.raw(&c.to_string());
                    }
                    if self.mode == Mode::Document && self.peek() != Some('$') {
                        continue;
                    }
                    if let Some(escaped) = self.next() {
                        result.push(escaped);
                        words.raw(&escaped.to_string());
                    }
                }
            }
        }
        if let Some(stop) = stop {
            return Err(format!("unexpected end of statement while looking for matching {stop}"));
        }
        self.check(&result)?;
        words.end();
        Ok((result, words.done))
    }

    /// Variables that hold each other grow faster than any memory.
    fn check(&self, text: &str) -> Result<(), String> {
        let longest = if self.mode == Mode::Document { LONGEST_DOCUMENT } else { LONGEST };
        if text.len() <= longest { Ok(()) } else { Err(too_long(longest)) }
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err("unexpected end of statement while looking for matching single-quote".to_owned()),
                Some('\'') => return Ok(text),
                Some(c) => text.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            self.check(&text)?;
            match self.peek() {
                None => return Err("unexpected end of statement while looking for matching double-quote".to_owned()),
                Some('"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some('$') if self.mode != Mode::NoVariables => text.push_str(&self.dollar()?),
                Some(c) => {
                    self.at += 1;
                    match self.peek() {
                        Some(next) if c == self.escape && (next == '"' || next == '$' || next == self.escape) => {
                            self.at += 1;
                            text.push(next);
                        }
                        _ => text.push(c),
                    }
                }
            }
        }
    }

    fn name(&mut self) -> String {
        let first = self.peek();
        let start = self.at;
        let belongs: fn(char) -> bool = match first {
            Some(c) if c.is_ascii_alphabetic() || c == '_' => |c| c.is_ascii_alphanumeric() || c == '_',
            Some(c) if c.is_ascii_digit() => |c| c.is_ascii_digit(),
            // The shell's special parameters, which have no value here.
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => {
                self.at += 1;
                return self.chars[start..self.at].iter().collect();
            }
            _ => return String::new(),
        };
        while self.peek().is_some_and(belongs) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    fn dollar(&mut self) -> Result<String, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("variables are nested too deep".to_owned());
        }
        let value = self.variable();
        self.depth -= 1;
        value
    }

    fn variable(&mut self) -> Result<String, String> {
        self.at += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(if name.is_empty() { "$".to_owned() } else { (self.lookup)(&name).unwrap_or_default() });
        }
        self.at += 1;
        let missing = || "syntax error: missing '}'".to_owned();
        match self.peek() {
            None => return Err(missing()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            _ => {}
        }
        let name = self.name();
        let value = (self.lookup)(&name);
        let mut modifier = self.next().ok_or_else(missing)?;
        let colon = modifier == ':';
        let mut shown = modifier.to_string();
        if colon {
            modifier = self.next().ok_or_else(missing)?;
            shown.push(modifier);
        }
        let is_set = value.as_ref().is_some_and(|value| !(colon && value.is_empty()));
        let unsupported = || Err(format!("unsupported modifier ({shown}) in substitution"));
        match modifier {
            '}' if !colon => Ok(value.unwrap_or_default()),
            '-' | '+' | '?' => {
                let word = self.run(Some('}'), false).map_err(|e| self.unfinished(e))?.0;
                match modifier {
                    '-' => Ok(if is_set { value.unwrap_or_default() } else { word }),
                    '+' => Ok(if is_set { word } else { String::new() }),
                    _ if is_set => Ok(value.unwrap_or_default()),
                    _ if word.is_empty() => {
                        Err(format!("{name}: not allowed to be {}", if colon { "unset or empty" } else { "unset" }))
                    }
                    _ => Err(format!("{name}: {word}")),
                }
            }
            '#' | '%' if !colon => {
                let longest = self.peek() == Some(modifier);
                self.at += usize::from(longest);
                let pattern = self.run(Some('}'), true).map_err(|e| self.unfinished(e))?.0;
                let value: Vec<char> = value.unwrap_or_default().chars().collect();
                let pattern = Pattern::new(&pattern, self.escape);
                Ok(if modifier == '#' {
                    pattern.trim_start(&value, longest)
                } else {
                    pattern.trim_end(&value, longest)
                })
            }
            '/' if !colon => {
                let all = self.peek() == Some('/');
                self.at += usize::from(all);
                let pattern = self.run(Some('/'), true).map_err(|e| self.unfinished(e))?.0;
                let replacement = self.run(Some('}'), false).map_err(|e| self.unfinished(e))?.0;
                let value: Vec<char> = value.unwrap_or_default().chars().collect();
                let replaced = Pattern::new(&pattern, self.escape).replace(&value, &replacement, all, LONGEST);
                replaced.ok_or_else(|| too_long(LONGEST))
            }
            _ => unsupported(),
        }
    }

    /// The text ended inside of `${…`.
    fn unfinished(&self, error: String) -> String {
        if self.peek().is_none() && error.contains("matching }") {
            "syntax error: missing '}'".to_owned()
        } else {
            error
        }
    }
}

/// What is said of a text that is longer than that.
pub(crate) fn too_long(longest: usize) -> String {
    format!("variables make it longer than {} MiB", longest >> 20)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            "TWO" => Some("one  two".to_owned()),
            "PATHS" => Some("/usr/local/lib.tar.gz".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn words_are_expanded_as_docker_does() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("$A${A}b$A.c", "aaba.c"),
            ("$NOSUCH|${NOSUCH}|$EMPTY|", "|||"),
            ("'$A'\"$A\"", "$Aa"),
            (r"\$A \a \\", r"$A a \"),
            (r#""\$A \a \\ \"""#, r#"$A \a \ ""#),
            ("${NOSUCH:-d}${EMPTY:-d}${EMPTY-d}${A:-d}", "dda"),
            ("${NOSUCH:-${A:+x$A}}", "xa"),
            ("${A:+y}${EMPTY:+y}${EMPTY+y}${NOSUCH+y}|", "yy|"),
            ("${A:?no}${A?no}", "aa"),
            ("${PATHS#*/}|${PATHS##*/}", "usr/local/lib.tar.gz|lib.tar.gz"),
            ("${PATHS%.*}|${PATHS%%.*}", "/usr/local/lib.tar|/usr/local/lib"),
            ("${PATHS/l/L}|${PATHS//l/L}", "/usr/Local/lib.tar.gz|/usr/LocaL/Lib.tar.gz"),
            ("${PATHS//\\//_}", "_usr_local_lib.tar.gz"),
            ("${PATHS/l?b/X}", "/usr/local/X.tar.gz"),
            ("$", "$"),
            ("a$ b", "a$ b"),
            ("$1x", "x"),
            ("${NOSUCH:-a b}", "a b"),
            ("it\\'s", "it's"),
            ("a\\", "a"),
        ] {
            assert_eq!(word(text, '\\', &lookup), Ok(wanted.to_owned()), "{text}");
        }
        assert_eq!(word("`$A \\x", '`', &lookup), Ok("$A \\x".to_owned()));
    }

    #[test]
    fn words_are_split_outside_of_quotes() {
        for (text, wanted) in [
            ("a  b", vec!["a", "b"]),
            ("$TWO \"$TWO\"", vec!["one", "two", "one  two"]),
            ("a\"b c\"d ''", vec!["ab cd", ""]),
            ("a\\ b c", vec!["a b", "c"]),
            ("$EMPTY", vec![]),
        ] {
            assert_eq!(words(text, '\\', &lookup), Ok(wanted.into_iter().map(str::to_owned).collect()), "{text}");
        }
    }

    #[test]
    fn documents_keep_quotes() {
        assert_eq!(text("'$A' \"$A\" \\$A \\n\n", '\\', &lookup), Ok("'a' \"a\" $A \\n\n".to_owned()));
    }

    #[test]
    fn mistakes_are_told() {
        for (text, wanted) in [
            ("'a", "unexpected end of statement while looking for matching single-quote"),
            ("\"a", "unexpected end of statement while looking for matching double-quote"),
            ("${", "syntax error: missing '}'"),
            ("${A", "syntax error: missing '}'"),
            ("${A:-x", "syntax error: missing '}'"),
            ("${}", "syntax error: bad substitution"),
            ("${A*b}", "unsupported modifier (*) in substitution"),
            ("${A:#b}", "unsupported modifier (:#) in substitution"),
            ("${NOSUCH:?}", "NOSUCH: not allowed to be unset or empty"),
            ("${NOSUCH?so there}", "NOSUCH: so there"),
        ] {
            assert_eq!(word(text, '\\', &lookup), Err(wanted.to_owned()), "{text}");
        }
        assert!(word(&"${A:+".repeat(1000), '\\', &lookup).is_err());
    }

    #[test]
    fn what_grows_is_stopped() {
        let long = "x".repeat(LONGEST / 2);
        let lookup = |name: &str| Some(if name == "L" { long.clone() } else { "y".repeat(2000) });
        let wanted = Err("variables make it longer than 1 MiB".to_owned());
        for text in ["$L$L$L", "\"$L$L$L\"", "${A:-x}$L$L$L", "${L//x/$S}", "${L:+$L$L$L}", "a${L/#/$L$L$L}"] {
            assert_eq!(word(text, '\\', &lookup), wanted, "{text}");
        }
        assert_eq!(word("$L$L", '\\', &lookup).map(|text| text.len()), Ok(LONGEST));
        assert_eq!(words("$L $L $L", '\\', &lookup), wanted.map(|_: String| Vec::new()));
        assert_eq!(super::text("$L$L$L", '\\', &lookup).map(|text| text.len()), Ok(LONGEST / 2 * 3));
    }

    proptest! {
        #[test]
        fn nothing_panics(input in "[ $A-C{}:?+%#/*'\"\\\\`a-b\n-]{0,40}") {
            let _ = (word(&input, '\\', &lookup), words(&input, '`', &lookup), text(&input, '\\', &lookup));
            let _ = raw_words(&input, '\\');
        }
    }
}
