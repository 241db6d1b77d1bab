//! Lines at the bottom of a terminal that are drawn again and again in place, below lines that stay.
//!
//! A picture is one write, and lines are written over, not cleared first: nothing flickers. The cursor is never hidden and
//! rests at the beginning of the line below, so that a process that is killed leaves nothing to repair.

use std::os::fd::AsFd;

use unicode_width::UnicodeWidthChar;

/// Rows and columns when the terminal does not tell.
const USUAL: (usize, usize) = (24, 80);

/// Of a terminal: rows, columns.
pub(crate) fn size(terminal: impl AsFd) -> (usize, usize) {
    let or = |told: u16, usual| if told == 0 { usual } else { usize::from(told) };
    rustix::termios::tcgetwinsize(terminal).map_or(USUAL, |size| (or(size.ws_row, USUAL.0), or(size.ws_col, USUAL.1)))
}

/// What is on the terminal now.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    /// The lines without their styles.
    drawn: Vec<String>,
}

/// A line in pieces, each with its style: the parameters of SGR (ECMA-48), or none.
pub(crate) type Line = Vec<(&'static str, String)>;

impl Screen {
    pub(crate) fn is_empty(&self) -> bool {
        self.drawn.is_empty()
    }

    /// What draws `lines` in the place of those there are, below `stay`. Lines are less than `columns` wide.
    pub(crate) fn draw(&mut self, stay: &[Line], lines: &[Line], columns: usize) -> Vec<u8> {
        if stay.is_empty() && lines.is_empty() && self.is_empty() {
            return Vec::new();
        }
        let mut out = String::from("\r");
        // A terminal that has become narrower has broken the lines into rows.
        let up: usize = self.drawn.iter().map(|line| rows(line, columns)).sum();
        if up > 0 {
            out.push_str(&format!("\x1b[{up}A"));
        }
        for line in stay.iter().chain(lines) {
            for (style, text) in line {
                match style.is_empty() {
                    true => out.push_str(text),
                    false => out.push_str(&format!("\x1b[{style}m{text}\x1b[m")),
                }
            }
            out.push_str("\x1b[K\r\n");
        }
        out.push_str("\x1b[J");
        self.drawn = lines.iter().map(|line| line.iter().map(|(_, text)| text.as_str()).collect()).collect();
        out.into_bytes()
    }
}

pub(crate) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// The rows that a terminal of so many columns breaks a line into: a wide character is never cut in two.
fn rows(line: &str, columns: usize) -> usize {
    let (mut rows, mut column) = (1, 0);
    for wide in line.chars().map(self::columns) {
        column += wide;
        if column > columns.max(2) {
            (rows, column) = (rows + 1, wide);
        }
    }
    rows
}

/// What a character takes at most: a line must never be wider there than here.
pub(super) fn columns(c: char) -> usize {
    match c {
        // Makes the character before it an emoji, which is wide.
        '\u{fe0f}' => 1,
        c => UnicodeWidthChar::width(c).unwrap_or(0),
    }
}

/// As much of a line as `room` columns hold; `…` stands for what is missing.
pub(crate) fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let fits = |c: &char| {
        let wide = columns(*c);
        let fits = wide <= left;
        left = left.saturating_sub(wide);
        fits
    };
    let mut short: String = text.chars().take_while(fits).collect();
    if room > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::{Line, Screen, cut, width};

    #[test]
    fn cut_to_columns() {
        for (text, columns, short) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("漢字漢字", 8, "漢字漢字"),
            ("漢字漢字", 7, "漢字漢…"),
            ("漢字漢字", 6, "漢字…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("⚠\u{fe0f}⚠\u{fe0f}", 3, "⚠\u{fe0f}…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, columns), short, "{text} in {columns}");
            assert!(width(&cut(text, columns)) <= columns);
        }
    }

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|text| vec![("1", (*text).to_owned())]).collect()
    }

    #[test]
    fn lines_are_replaced_and_others_stay() {
        let size = |more| NonZero::<u16>::MIN.saturating_add(more);
        let mut terminal = vt100::Parser::new(size(5), size(9), 10);
        let mut screen = Screen::default();
        terminal.process(b"before\r\n");
        for (stay, live, shown) in [
            (vec![], vec!["a 1", "b 1", "c 1"], "before\na 1\nb 1\nc 1"),
            (vec!["a done"], vec!["b 2"], "before\na done\nb 2"),
            (vec!["b done"], vec!["long long", "d"], "before\na done\nb done\nlong long\nd"),
            (vec!["1", "2"], vec!["x"], "b done\n1\n2\nx"),
            (vec![], vec![], "b done\n1\n2"),
        ] {
            terminal.process(&screen.draw(&lines(&stay), &lines(&live), 10));
            let contents = terminal.screen().contents();
            assert!(contents.trim_end().ends_with(shown), "{contents}\nfor {shown}");
            assert_eq!(terminal.screen().cursor_position().1, 0);
            assert!(!terminal.screen().hide_cursor());
        }
        assert!(screen.draw(&[], &[], 10).is_empty(), "nothing to do");
    }

    #[test]
    fn rows_of_lines_that_the_terminal_has_broken() {
        for (drawn, columns, up) in [
            (vec!["123456789", ""], 4, 4),
            (vec!["123456789"], 9, 1),
            (vec!["123456789"], 40, 1),
            // Each row ends with a column that the next character does not fit in.
            (vec!["漢字漢字"], 3, 4),
            (vec!["a漢字漢字"], 4, 3),
            (vec!["漢字", "x"], 1, 3),
        ] {
            let mut screen = Screen::default();
            screen.draw(&[], &lines(&drawn), 10);
            let picture = String::from_utf8(screen.draw(&[], &lines(&["x"]), columns)).expect("text");
            assert!(picture.starts_with(&format!("\r\x1b[{up}A")), "{drawn:?} in {columns}: {picture:?}");
        }
    }
}
