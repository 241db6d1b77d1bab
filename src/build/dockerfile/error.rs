//! What is wrong with a Dockerfile, and where.

use std::fmt::Write as _;

use crate::build::redact;
use crate::error::Error;

/// Lines of the file, counted from 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Span {
    pub first: usize,
    pub last: usize,
}

/// A mistake in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub what: String,
    pub span: Span,
}

/// Lines shown before and after those in question.
const AROUND: usize = 2;
/// A long here-document is not shown whole.
const MOST: usize = 12;

impl Problem {
    pub(crate) fn new(what: impl Into<String>, span: Span) -> Self {
        Self { what: what.into(), span }
    }

    /// `Containerfile:3: …`.
    pub(crate) fn into_error(self, file: &str) -> Error {
        Error::new(format!("{file}:{}: {}", self.span.first, self.what))
    }
}

/// The lines around `span`, those in question marked, in the form that BuildKit made familiar.
pub(crate) fn excerpt(file: &str, text: &str, span: Span) -> String {
    if text.lines().next().is_none() {
        return format!("{file}:{}", span.first);
    }
    let mut shown = format!("{file}:{}\n--------------------\n", span.first);
    let last = span.last.min(span.first + MOST);
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if number + AROUND < span.first || number > last + AROUND {
            continue;
        }
        let mark = if (span.first..=last).contains(&number) { ">>>" } else { "   " };
        // Writing to a String cannot fail.
        let _ = writeln!(shown, "{number:>4} | {mark} {}", redact::urls(line));
    }
    shown.push_str("--------------------");
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_in_question_are_marked() {
        let text = "FROM a\nRUN b \\\n c\nCMD d\nUSER e\nUSER f\n";
        let shown = excerpt("Dockerfile", text, Span { first: 2, last: 3 });
        let rule = "-".repeat(20);
        assert_eq!(
            shown,
            format!(
                "Dockerfile:2\n{rule}\n   1 |     FROM a\n   2 | >>> RUN b \\\n   3 | >>>  c\n   4 |     CMD d\n   5 |     USER e\n{rule}"
            )
        );
        assert_eq!(excerpt("Dockerfile", "", Span { first: 1, last: 1 }), "Dockerfile:1");
    }
}
