//! Patterns for paths and names: Go's `filepath.Match`, which Docker and Podman use wherever a user gives a pattern, and the
//! patterns of ignore files (moby/patternmatcher), which know `**` as well. Pure: what there is to match is the caller's to list.

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: one character, no slash.
    One,
    /// `*`: any number of characters, no slash.
    Many,
    /// `**/`: nothing, or anything up to a slash.
    Directories,
    /// `**` at the end: anything.
    Everything,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Whether a source has to be looked for, instead of being a path as it stands.
pub(crate) fn has_wildcards(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

impl Glob {
    /// A pattern as Go's `filepath.Match` has it: `**` is two stars.
    pub(crate) fn path(text: &str) -> Result<Self, String> {
        Self::compile(text, false)
    }

    /// A pattern of an ignore file.
    pub(crate) fn ignore(text: &str) -> Result<Self, String> {
        Self::compile(text, true)
    }

    fn compile(text: &str, deep: bool) -> Result<Self, String> {
        let bad = || format!("syntax error in pattern {text:?}");
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' if deep && chars.peek() == Some(&'*') => {
                    chars.next();
                    if chars.peek() == Some(&'/') {
                        chars.next();
                    }
                    if chars.peek().is_some() { Token::Directories } else { Token::Everything }
                }
                '*' => Token::Many,
                '?' => Token::One,
                '[' => class(&mut chars, deep).ok_or_else(bad)?,
                '\\' => Token::Char(chars.next().ok_or_else(bad)?),
                c => Token::Char(c),
            });
        }
        tokens.dedup_by(|a, b| a == b && *a == Token::Many);
        Ok(Self(tokens))
    }

    /// Whether all of `path` matches.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let text: Vec<char> = path.chars().collect();
        // reachable[i]: the tokens so far match text[..i].
        let mut reachable = vec![false; text.len() + 1];
        reachable[0] = true;
        for token in &self.0 {
            let mut next = vec![false; text.len() + 1];
            let mut any_before = false;
            for i in 0..=text.len() {
                let last = i.checked_sub(1).map(|at| text[at]);
                next[i] = match (token, last) {
                    (Token::Char(c), Some(last)) => reachable[i - 1] && last == *c,
                    (Token::One, Some(last)) => reachable[i - 1] && last != '/',
                    (Token::Class { negated, ranges }, Some(last)) => {
                        let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&last));
                        reachable[i - 1] && last != '/' && inside != *negated
                    }
                    (Token::Many, last) => reachable[i] || last.is_some_and(|last| last != '/' && next[i - 1]),
                    (Token::Directories, last) => reachable[i] || last == Some('/') && any_before,
                    (Token::Everything, _) => any_before || reachable[i],
                    (_, None) => false,
                };
                any_before |= reachable[i];
            }
            if !next.contains(&true) {
                return false;
            }
            reachable = next;
        }
        reachable[text.len()]
    }

    /// The one path that matches, where there is no wildcard.
    pub(crate) fn literal(&self) -> Option<String> {
        self.0.iter().map(|token| if let Token::Char(c) = token { Some(*c) } else { None }).collect()
    }
}

/// What follows `[`. `]` first and `-` as an end are themselves in an ignore file, whose classes are those of a regular
/// expression (`loose`), and malformed elsewhere.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, loose: bool) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
        let low = class_end(chars, loose)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_end(chars, false)? } else { low };
        ranges.push((low, high));
    }
    Some(Token::Class { negated, ranges })
}

/// One character of a class.
fn class_end(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, loose: bool) -> Option<char> {
    match chars.next()? {
        '\\' => chars.next(),
        '-' | ']' if !loose => None,
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (pattern, path, wanted) in [
            ("a.txt", "a.txt", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "d/a.txt", false),
            ("a*", "a", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("**", "abc", true),
            ("d/*", "d/a", true),
            ("d/*", "d/a/b", false),
            ("*", "", true),
            ("*", ".hidden", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("[a\\]]", "]", true),
            ("a*****************************************b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
        ] {
            assert_eq!(Glob::path(pattern).expect(pattern).matches(path), wanted, "{pattern} {path}");
        }
        for bad in ["[", "[]", "[]a]", "[a", "[a-", "[a-]", "[-a]", "[^]", "a\\"] {
            assert!(Glob::path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ignore_patterns_go_deep() {
        for (pattern, path, wanted) in [
            ("**", "a/b", true),
            ("**/b", "b", true),
            ("**/b", "a/b", true),
            ("**/b", "a/xb", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a**", "abc/d", true),
            ("a**b", "a/x/b", true),
            ("a**b", "axb", false),
            ("*/b", "a/b", true),
            ("*/b", "a/a/b", false),
            ("**/*.go", "x/y.go", true),
            ("a.c", "abc", false),
        ] {
            assert_eq!(Glob::ignore(pattern).expect(pattern).matches(path), wanted, "{pattern} {path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(pattern in "[*?\\[\\]\\\\^a-c/!-]{0,12}", path in "[a-c/]{0,12}") {
            let _ = Glob::ignore(&pattern).map(|glob| glob.matches(&path));
            let _ = Glob::path(&pattern).map(|glob| glob.matches(&path));
        }
    }
}
