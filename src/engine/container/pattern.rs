//! The regular expressions that `--filter name=` takes, without a library for them: literals, `.`, classes, `* + ?`,
//! `^`, `$` and `|` at the top. Groups and counts are refused rather than misread.

use crate::error::{Error, Result};

/// A compiled pattern; it matches when any of its alternatives is found anywhere in the text.
#[derive(Debug)]
pub(crate) struct Pattern(Vec<Alternative>);

#[derive(Debug)]
struct Alternative {
    start: bool,
    end: bool,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    one: One,
    least: usize,
    many: bool,
}

/// What one character may be.
#[derive(Debug)]
enum One {
    Any,
    Literal(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self> {
        let alternatives: Option<Vec<_>> = text.split('|').map(alternative).collect();
        alternatives.map(Self).ok_or_else(|| {
            Error::new(format!("cannot understand the pattern {text:?}"))
                .hint("possible are characters, . [a-z] * + ? ^ $ and | between patterns")
        })
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let chars: Vec<char> = text.chars().collect();
        self.0.iter().any(|alternative| {
            let last = if alternative.start { 0 } else { chars.len() };
            (0..=last).any(|from| here(&alternative.items, alternative.end, &chars[from..]))
        })
    }
}

fn alternative(text: &str) -> Option<Alternative> {
    let start = text.starts_with('^');
    let text = text.strip_prefix('^').unwrap_or(text);
    let end = text.ends_with('$') && !text.ends_with("\\$");
    let text = if end { &text[..text.len() - 1] } else { text };
    let mut items: Vec<Item> = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let one = match c {
            '*' | '+' | '?' => {
                let item = items.last_mut().filter(|item| !item.many && item.least == 1)?;
                item.least = usize::from(c == '+');
                item.many = c != '?';
                if c == '?' {
                    // Once or not at all: `many` stays off, `least` is 0.
                    item.least = 0;
                }
                continue;
            }
            '(' | ')' | '{' | '}' | '^' | '$' => return None,
            '.' => One::Any,
            '[' => class(&mut chars)?,
            '\\' => match chars.next()? {
                'd' => One::Class { negated: false, ranges: vec![('0', '9')] },
                'w' => One::Class { negated: false, ranges: vec![('0', '9'), ('a', 'z'), ('A', 'Z'), ('_', '_')] },
                c if c.is_alphanumeric() => return None,
                c => One::Literal(c),
            },
            c => One::Literal(c),
        };
        items.push(Item { one, least: 1, many: false });
    }
    Some(Alternative { start, end, items })
}

fn class(chars: &mut std::str::Chars<'_>) -> Option<One> {
    let mut members: Vec<char> = Vec::new();
    loop {
        match chars.next()? {
            ']' if !members.is_empty() => break,
            '\\' => members.push(chars.next()?),
            c => members.push(c),
        }
    }
    let negated = members[0] == '^';
    let mut rest = &members[usize::from(negated)..];
    let mut ranges = Vec::new();
    while let [first, tail @ ..] = rest {
        if let ['-', last, after @ ..] = tail {
            ranges.push((*first, *last));
            rest = after;
        } else {
            ranges.push((*first, *first));
            rest = tail;
        }
    }
    Some(One::Class { negated, ranges })
}

/// Whether the items match at the beginning of `text`. Names are short, so trying every length is fine.
fn here(items: &[Item], end: bool, text: &[char]) -> bool {
    let Some((item, rest)) = items.split_first() else { return !end || text.is_empty() };
    let most = if item.many { text.len() } else { 1 };
    let mut taken = 0;
    loop {
        if taken >= item.least && here(rest, end, &text[taken..]) {
            return true;
        }
        if taken == most || !text.get(taken).is_some_and(|c| item.one.is(*c)) {
            return false;
        }
        taken += 1;
    }
}

impl One {
    fn is(&self, c: char) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => *literal == c,
            Self::Class { negated, ranges } => ranges.iter().any(|(a, b)| (*a..=*b).contains(&c)) != *negated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("web", "my-web-1", true),
            ("^web", "my-web-1", false),
            ("^web$", "web", true),
            ("^web.$", "web1", true),
            ("w.*1$", "my-web-1", true),
            ("a+b", "caab", true),
            ("a+b", "cb", false),
            ("^colou?r$", "color", true),
            ("^colou?r$", "colouur", false),
            ("[0-9]$", "web", false),
            ("^[^0-9]+$", "web", true),
            ("a|^b", "ab", true),
            ("x|^b", "ab", false),
            ("a\\.b", "axb", false),
            ("", "x", true),
            ("^$", "", true),
        ] {
            assert_eq!(Pattern::new(pattern).expect(pattern).matches(text), expected, "{pattern} {text}");
        }
        for bad in ["(a)", "a{2}", "[a", "*", "a\\", "a**"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }
}
