//! Text from images, registries and containers is written by strangers: before it reaches a terminal, what a terminal
//! would obey (control characters, escape sequences, changes of writing direction) is made visible instead.

use std::borrow::Cow;

/// One line: every control character is shown as an escape, line ends as well.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_unsafe)
}

/// Several lines: line ends and tabs stay.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != '\n' && c != '\t' && is_unsafe(c))
}

fn escape(text: &str, hostile: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if hostile(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

/// C0 and C1 controls, line and paragraph separators, and what reorders text (Unicode TR 36, "bidirectional spoofing").
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    #[test]
    fn terminals_get_nothing_to_obey() {
        for (input, as_line, as_text) in [
            ("plain ünï 漢字", "plain ünï 漢字", "plain ünï 漢字"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\nb\tc", "a\\nb\\tc", "a\nb\tc"),
            ("\u{9b}31m\r", "\\u{9b}31m\\r", "\\u{9b}31m\\r"),
            ("abc\u{202e}txt", "abc\\u{202e}txt", "abc\\u{202e}txt"),
        ] {
            assert_eq!(super::line(input), as_line);
            assert_eq!(super::text(input), as_text);
        }
    }
}
