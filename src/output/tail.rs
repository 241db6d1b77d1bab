//! The end of what a program writes, as the lines that a terminal would show.

use std::collections::VecDeque;

use super::escape::is_unsafe;
use super::screen::columns;

/// Columns of a line that are kept.
const WIDTH: usize = 1024;
const TAB: usize = 8;

/// The last lines: without what a terminal would obey. A carriage return begins the line anew, as progress bars want it.
#[derive(Debug)]
pub(crate) struct LastLines {
    keep: usize,
    whole: VecDeque<String>,
    /// The line that has no end yet.
    open: String,
    /// The columns it takes on a terminal; only so many characters are kept.
    column: usize,
    returned: bool,
    sequence: Sequence,
    /// A character that has not come whole.
    undecoded: Vec<u8>,
}

/// Where in an escape sequence (ECMA-48) the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    None,
    Escape,
    /// ESC and intermediate bytes: one more byte ends it.
    Intermediate,
    Control,
    /// An operating system command or the like: up to BEL or ST.
    Text,
    TextEscape,
}

impl LastLines {
    pub(crate) fn new(keep: usize) -> Self {
        Self {
            keep,
            whole: VecDeque::new(),
            open: String::new(),
            column: 0,
            returned: false,
            sequence: Sequence::None,
            undecoded: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let mut all = std::mem::take(&mut self.undecoded);
        all.extend_from_slice(bytes);
        let mut rest = &all[..];
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => return text.chars().for_each(|c| self.character(c)),
                Err(e) => {
                    let (valid, invalid) = rest.split_at(e.valid_up_to());
                    // Known to be valid.
                    String::from_utf8_lossy(valid).chars().for_each(|c| self.character(c));
                    let Some(length) = e.error_len() else {
                        self.undecoded = invalid.to_vec();
                        return;
                    };
                    self.character(char::REPLACEMENT_CHARACTER);
                    rest = &invalid[length..];
                }
            }
        }
    }

    /// The last `count` lines, the one without an end among them.
    pub(crate) fn last(&self, count: usize) -> impl Iterator<Item = &str> {
        let open = (!self.open.is_empty()).then_some(self.open.as_str());
        let all = self.whole.len() + usize::from(open.is_some());
        self.whole.iter().map(String::as_str).chain(open).skip(all.saturating_sub(count))
    }

    fn character(&mut self, c: char) {
        self.sequence = match (self.sequence, c) {
            (Sequence::Text, '\x07') => Sequence::None,
            (Sequence::Text | Sequence::TextEscape, '\x1b') => Sequence::TextEscape,
            (Sequence::TextEscape, '\\') => Sequence::None,
            (Sequence::Text | Sequence::TextEscape, _) => Sequence::Text,
            (_, '\x1b') => Sequence::Escape,
            (Sequence::None, _) => return self.shown(c),
            (Sequence::Escape, '[') => Sequence::Control,
            (Sequence::Escape, ']' | 'P' | 'X' | '^' | '_') => Sequence::Text,
            (Sequence::Escape | Sequence::Intermediate, ' '..='/') => Sequence::Intermediate,
            (Sequence::Control, ' '..='?') => Sequence::Control,
            // The final byte; what is not ASCII has no place in a sequence and ends it.
            _ => Sequence::None,
        };
    }

    fn shown(&mut self, c: char) {
        match c {
            '\n' => {
                self.whole.push_back(std::mem::take(&mut self.open));
                if self.whole.len() > self.keep {
                    self.whole.pop_front();
                }
                (self.column, self.returned) = (0, false);
            }
            '\r' => self.returned = true,
            '\x08' => self.column = self.column.saturating_sub(self.open.pop().map_or(0, taken)),
            '\t' => (0..TAB - self.column % TAB).for_each(|_| self.printed(' ')),
            c if is_unsafe(c) => {}
            c => self.printed(c),
        }
    }

    fn printed(&mut self, c: char) {
        if std::mem::take(&mut self.returned) {
            self.open.clear();
            self.column = 0;
        }
        if self.column < WIDTH {
            self.open.push(c);
            self.column += taken(c);
        }
    }
}

/// What a character counts. Marks upon others do so as well: there may be any number of them.
fn taken(c: char) -> usize {
    columns(c).max(1)
}

#[cfg(test)]
mod tests {
    use super::LastLines;

    #[test]
    fn lines_are_what_a_terminal_would_show() {
        for (input, shown) in [
            ("a\nb\nc\nd\ne\n", vec!["b", "c", "d", "e"]),
            ("a\nb\nc\nd\ne", vec!["b", "c", "d", "e"]),
            ("a\n\nb", vec!["a", "", "b"]),
            ("10%\r20%\r", vec!["20%"]),
            ("10%\r100%\r\nnext", vec!["100%", "next"]),
            ("\x1b[31;1mred\x1b[0m \x1b]0;title\x07x\x1b]8;;u\x1b\\y\x1b(Bz", vec!["red xyz"]),
            ("a\x1b[2J\x1b[Hb\x1b7c\u{9b}d\u{202e}e\0f\x07", vec!["abcdef"]),
            ("a\tb\x08c", vec!["a       c"]),
            ("漢\tb\n漢字\x08\tb", vec!["漢      b", "漢      b"]),
            ("\x1bPq hidden \x1b[31m still \x1b\\seen", vec!["seen"]),
            ("漢字 é", vec!["漢字 é"]),
            ("", vec![]),
        ] {
            let mut whole = LastLines::new(4);
            whole.push(input.as_bytes());
            assert_eq!(whole.last(4).collect::<Vec<_>>(), shown, "{input:?}");
            let mut bytewise = LastLines::new(4);
            input.as_bytes().iter().for_each(|byte| bytewise.push(&[*byte]));
            assert_eq!(bytewise.last(4).collect::<Vec<_>>(), shown, "{input:?} byte by byte");
        }
        let mut lines = LastLines::new(4);
        lines.push(b"\xff\xfe ok\n\xe6\xbc");
        assert_eq!(lines.last(1).collect::<Vec<_>>(), ["\u{fffd}\u{fffd} ok"]);
        lines.push(&[b'x'; 1 << 20]);
        assert!(lines.last(1).all(|line| line.len() <= 4 * super::WIDTH));
    }
}
