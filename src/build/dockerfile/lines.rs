//! Text → logical lines: parser directives, comments, continuation, here-documents.
//!
//! The rules are BuildKit's (frontend/dockerfile/parser): a comment or an empty line inside a continued line is passed
//! over, blanks may follow the escape at a line's end, a doubled escape continues nothing.

use super::error::{Problem, Span};
use super::expand;

/// One instruction as it stands in the file, its continuation lines joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub text: String,
    pub span: Span,
    pub heredocs: Vec<Heredoc>,
    /// The comments right in front of it, without their `#`.
    pub comments: Vec<String>,
    /// An empty line inside of it, which Docker will refuse one day.
    pub has_empty_continuation: bool,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heredoc {
    pub name: String,
    /// As it stands, tabs and all.
    pub raw: String,
    /// Variables in it are replaced: its name was not quoted.
    pub expand: bool,
    /// `<<-`: leading tabs of every line go.
    pub chomp: bool,
}

impl Heredoc {
    /// The content as a program or a file gets it.
    pub(crate) fn content(&self) -> String {
        if !self.chomp {
            return self.raw.clone();
        }
        self.raw.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// `# key=value` lines at the top.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Directives {
    /// Noted; the language of this parser is the one there is.
    pub syntax: Option<String>,
    pub escape: Option<char>,
    pub check: Option<String>,
}

/// Splits a Dockerfile.
pub(crate) fn split(text: &str) -> Result<(Directives, Vec<Line>), Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut directives = Directives::default();
    let mut reading_directives = true;
    let mut lines = Vec::new();
    let mut comments = Vec::new();
    let mut source = text.split_inclusive('\n').enumerate();
    while let Some((number, raw)) = source.next() {
        let first = number + 1;
        let line = trim_start(trim_newline(raw));
        if reading_directives {
            reading_directives = directive(line, first, &mut directives)?;
        }
        if let Some(comment) = line.strip_prefix('#') {
            comments.push(comment.trim().to_owned());
            continue;
        }
        let escape = directives.escape.unwrap_or('\\');
        let (mut joined, mut goes_on) = continued(line, escape);
        if !goes_on && joined.is_empty() {
            comments.clear();
            continue;
        }
        let mut last = first;
        let mut has_empty_continuation = false;
        while goes_on {
            let Some((number, raw)) = source.next() else { break };
            last = number + 1;
            let line = trim_newline(raw);
            if is_comment(line) {
                continue;
            }
            if trim_start(line).is_empty() {
                has_empty_continuation = true;
                continue;
            }
            let (more, on) = continued(line, escape);
            joined.push_str(&more);
            goes_on = on;
        }
        if joined.trim().is_empty() {
            continue;
        }
        let mut heredocs = Vec::new();
        for mut heredoc in announced(&joined, escape) {
            let mut terminated = false;
            for (number, raw) in source.by_ref() {
                last = number + 1;
                let end = trim_newline(raw);
                let end = if heredoc.chomp { end.trim_start_matches('\t') } else { end };
                if end == heredoc.name {
                    terminated = true;
                    break;
                }
                heredoc.raw.push_str(raw);
            }
            if !terminated {
                return Err(Problem::new(
                    format!("unterminated heredoc: no line is {:?}", heredoc.name),
                    Span { first, last: first },
                ));
            }
            heredocs.push(heredoc);
        }
        let comments = std::mem::take(&mut comments);
        lines.push(Line { text: joined, span: Span { first, last }, heredocs, comments, has_empty_continuation });
    }
    Ok((directives, lines))
}

/// Whether more directives may follow this line.
fn directive(line: &str, number: usize, directives: &mut Directives) -> Result<bool, Problem> {
    let Some((key, value)) = line.strip_prefix('#').and_then(|rest| rest.split_once('=')) else { return Ok(false) };
    let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
    let plain = key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.bytes().all(|b| b.is_ascii_alphanumeric());
    if !plain || value.is_empty() {
        return Ok(false);
    }
    let span = Span { first: number, last: number };
    let twice = |seen: bool| match seen {
        true => Err(Problem::new(format!("only one {key} parser directive can be used"), span)),
        false => Ok(()),
    };
    match key.as_str() {
        "syntax" => {
            twice(directives.syntax.is_some())?;
            directives.syntax = Some(value.to_owned());
        }
        "check" => {
            twice(directives.check.is_some())?;
            directives.check = Some(value.to_owned());
        }
        "escape" => {
            twice(directives.escape.is_some())?;
            directives.escape = match value {
                "\\" => Some('\\'),
                "`" => Some('`'),
                _ => return Err(Problem::new(format!("invalid ESCAPE '{value}'. Must be ` or \\"), span)),
            };
        }
        // A comment.
        _ => {}
    }
    Ok(true)
}

/// Without the escape at its end, and whether there was one.
fn continued(line: &str, escape: char) -> (String, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        // A doubled one stands for itself.
        Some(rest) if !rest.ends_with(escape) => (rest.to_owned(), true),
        _ => (line.to_owned(), false),
    }
}

/// The here-documents whose content follows a line.
fn announced(line: &str, escape: char) -> Vec<Heredoc> {
    let name = line.split_whitespace().next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let onbuild = name.eq_ignore_ascii_case("onbuild");
    let instruction = if onbuild { words.nth(1).unwrap_or_default() } else { name };
    if !["add", "copy", "run"].iter().any(|known| instruction.eq_ignore_ascii_case(known)) || !line.contains("<<") {
        return Vec::new();
    }
    expand::raw_words(line, escape).iter().filter_map(|word| heredoc(word, escape)).collect()
}

/// `<<NAME`, `<<-NAME`, `<<"NAME"`, `3<<NAME` as a word of its own.
pub(crate) fn heredoc(word: &str, escape: char) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (rest, chomp) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let expand = !rest.contains(['\'', '"', escape]);
    let name = expand::unquote(rest, escape).ok()?;
    (!name.is_empty()).then_some(Heredoc { name, raw: String::new(), expand, chomp })
}

fn is_comment(line: &str) -> bool {
    trim_start(line).starts_with('#')
}

fn trim_newline(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

fn trim_start(line: &str) -> &str {
    line.trim_start_matches([' ', '\t', '\u{b}', '\u{c}', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        split(text).expect(text).1.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_joined_as_docker_joins_them() {
        for (text, wanted) in [
            ("FROM a\n\n# c\n  RUN x\n", vec!["FROM a", "RUN x"]),
            ("RUN a \\\n  b\n", vec!["RUN a   b"]),
            ("RUN a \\  \t\n b", vec!["RUN a  b"]),
            ("RUN a \\\n# c\n  # d\n b", vec!["RUN a  b"]),
            ("RUN a \\\n\n b", vec!["RUN a  b"]),
            ("RUN a \\\\\nRUN b", vec!["RUN a \\\\", "RUN b"]),
            ("RUN a\\\r\n b\r\n", vec!["RUN a b"]),
            ("RUN a \\", vec!["RUN a "]),
            ("\u{feff}FROM a", vec!["FROM a"]),
            ("# escape=`\nRUN a `\n b \\\nCMD c", vec!["RUN a  b \\", "CMD c"]),
            ("\\\nFROM a", vec!["FROM a"]),
            ("RUN echo # no comment", vec!["RUN echo # no comment"]),
        ] {
            assert_eq!(texts(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn directives_come_first() {
        let read = |text: &str| split(text).map(|(directives, _)| directives);
        let all = read("# syntax = docker/dockerfile:1\n#escape=`\n# check=skip=all\nFROM a").expect("reads");
        assert_eq!(all.syntax.as_deref(), Some("docker/dockerfile:1"));
        assert_eq!((all.escape, all.check.as_deref()), (Some('`'), Some("skip=all")));
        assert_eq!(read("# a comment\n# escape=`\nFROM a").expect("reads").escape, None);
        assert_eq!(read("\n# escape=`\nFROM a").expect("reads").escape, None);
        assert_eq!(read("# unknown=1\n# escape=`\nFROM a").expect("reads").escape, Some('`'));
        assert!(read("# escape=x\n").is_err());
        assert!(read("# escape=`\n# escape=`\n").is_err());
    }

    #[test]
    fn heredocs_take_the_lines_that_follow() {
        let (_, lines) = split("RUN <<A cat <<-\"B\" x\n1\nA\n\t2\n\tB\nCMD y\n").expect("reads");
        assert_eq!(lines.len(), 2);
        let docs: Vec<_> =
            lines[0].heredocs.iter().map(|d| (d.name.as_str(), d.content(), d.expand, d.chomp)).collect();
        assert_eq!(docs, [("A", "1\n".to_owned(), true, false), ("B", "2\n".to_owned(), false, true)]);
        assert_eq!((lines[0].span, lines[1].span), (Span { first: 1, last: 5 }, Span { first: 6, last: 6 }));
        for (text, count) in
            [("RUN a<<EOF\nCMD b", 0), ("RUN \"<<EOF\"\n", 0), ("ENV a <<EOF\n", 0), ("RUN a <<<b\n", 0)]
        {
            assert_eq!(split(text).expect(text).1[0].heredocs.len(), count, "{text}");
        }
        assert!(split("RUN <<EOF\nx\n").is_err());
    }
}
