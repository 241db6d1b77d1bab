//! Columns under headings, as wide as their widest cell on the screen (a CJK letter takes two places, a combining
//! accent none), at least ten wide and two apart: Podman's tables.

use unicode_width::UnicodeWidthStr;

use super::escape;

const GAP: usize = 2;
const MIN: usize = 10;

/// The lines of the table; cells are made safe for a terminal. The last column is not padded.
pub(crate) fn render<R: AsRef<[C]>, C: AsRef<str>>(rows: &[R]) -> String {
    let rows: Vec<Vec<_>> =
        rows.iter().map(|r| r.as_ref().iter().map(|c| escape::line(c.as_ref())).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![MIN; columns];
    for row in &rows {
        // What ends a row may be as long as it likes.
        for (cell, width) in row.iter().zip(&mut widths).take(row.len().saturating_sub(1)) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = String::new();
    for row in &rows {
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            text.push_str(cell);
            if i + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + GAP));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn aligns_by_what_is_seen() {
        let rows = [
            vec!["ID", "A VERY LONG HEADING", "NAMES"],
            vec!["0123456789ab", "漢字", "web"],
            vec!["x", "e\u{301}", "evil\x1b[2J\n"],
        ];
        assert_eq!(
            super::render(&rows),
            "ID            A VERY LONG HEADING  NAMES\n\
             0123456789ab  漢字                 web\n\
             x             e\u{301}                    evil\\u{1b}[2J\\n\n"
        );
        assert_eq!(super::render::<Vec<&str>, _>(&[]), "");
    }
}
