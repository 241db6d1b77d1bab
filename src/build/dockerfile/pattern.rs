//! The patterns of `${x#p}`, `${x%p}` and `${x/p/r}`: `*` stands for anything, `?` for one character.
//!
//! Between two `*` there is a row of fixed length. For the shortest match, and for the longest up to the last row, each of
//! them is taken where it comes first; nothing is tried twice.

/// What the characters of a row may be; `None`: any.
type Row = Vec<Option<char>>;

pub(super) struct Pattern {
    first: Row,
    /// Those behind a `*` each; empty: the pattern has none.
    rest: Vec<Row>,
}

impl Pattern {
    pub(super) fn new(text: &str, escape: char) -> Self {
        let (mut rows, mut chars) = (vec![Row::new()], text.chars());
        while let Some(c) = chars.next() {
            let wanted = match c {
                '*' => {
                    // Two of them are one.
                    if rows.len() == 1 || rows.last().is_some_and(|row| !row.is_empty()) {
                        rows.push(Row::new());
                    }
                    continue;
                }
                '?' => None,
                c if c == escape => Some(chars.next().unwrap_or(c)),
                c => Some(c),
            };
            if let Some(row) = rows.last_mut() {
                row.push(wanted);
            }
        }
        let rest = rows.split_off(1);
        Self { first: rows.pop().unwrap_or_default(), rest }
    }

    /// How much of the beginning of `text` matches.
    fn prefix(&self, text: &[char], longest: bool) -> Option<usize> {
        if !begins(text, &self.first) {
            return None;
        }
        self.behind(text, self.first.len(), longest)
    }

    /// The end of a match whose first row ends at `at`.
    fn behind(&self, text: &[char], at: usize, longest: bool) -> Option<usize> {
        let mut at = at;
        for (number, row) in self.rest.iter().enumerate() {
            let last = number + 1 == self.rest.len();
            let found = if last && longest { find_last(&text[at..], row)? } else { find(&text[at..], row)? };
            at += found + row.len();
        }
        Some(at)
    }

    pub(super) fn trim_start(&self, text: &[char], longest: bool) -> String {
        text[self.prefix(text, longest).unwrap_or(0)..].iter().collect()
    }

    pub(super) fn trim_end(&self, text: &[char], longest: bool) -> String {
        let mut rows: Vec<Row> = [&self.first].into_iter().chain(&self.rest).cloned().collect();
        rows.iter_mut().for_each(|row| row.reverse());
        let first = rows.pop().unwrap_or_default();
        rows.reverse();
        let backwards = Self { first, rest: rows };
        let reversed: Vec<char> = text.iter().rev().copied().collect();
        let length = backwards.prefix(&reversed, longest).unwrap_or(0);
        text[..text.len() - length].iter().collect()
    }

    /// Replaces the first match or all of them, each the longest, as in a shell; `None` when that makes more than `most` bytes.
    pub(super) fn replace(&self, text: &[char], replacement: &str, all: bool, most: usize) -> Option<String> {
        let mut result = String::new();
        let mut at = 0;
        while let Some((start, end)) = self.next_match(text, at) {
            result.extend(&text[at..start]);
            result.push_str(replacement);
            if result.len() > most {
                return None;
            }
            at = end;
            // The longest match of a `*` leaves nothing that its last row could be.
            if !all || !self.rest.is_empty() {
                break;
            }
        }
        result.extend(&text[at..]);
        (result.len() <= most).then_some(result)
    }

    /// The first match from `at` on that is not empty.
    fn next_match(&self, text: &[char], at: usize) -> Option<(usize, usize)> {
        if at >= text.len() || self.first.is_empty() && self.rest.is_empty() {
            return None;
        }
        let start = at + find(&text[at..], &self.first)?;
        // Rows that are not found behind the first possible beginning are not found behind a later one.
        let end = self.behind(text, start + self.first.len(), true)?;
        (end > start).then_some((start, end))
    }
}

fn begins(text: &[char], row: &Row) -> bool {
    text.len() >= row.len() && row.iter().zip(text).all(|(wanted, c)| wanted.is_none_or(|wanted| wanted == *c))
}

fn find(text: &[char], row: &Row) -> Option<usize> {
    (0..=text.len().checked_sub(row.len())?).find(|at| begins(&text[*at..], row))
}

fn find_last(text: &[char], row: &Row) -> Option<usize> {
    (0..=text.len().checked_sub(row.len())?).rev().find(|at| begins(&text[*at..], row))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lengths of beginnings of `text` that match, by trying everything.
    fn lengths(pattern: &[char], text: &[char], at: usize, found: &mut Vec<usize>) {
        match pattern {
            [] => found.push(at),
            ['*', rest @ ..] => (at..=text.len()).for_each(|at| lengths(rest, text, at, found)),
            [c, rest @ ..] => {
                if text.get(at).is_some_and(|other| *c == '?' || c == other) {
                    lengths(rest, text, at + 1, found);
                }
            }
        }
    }

    fn tried(pattern: &[char], text: &[char], longest: bool) -> Option<usize> {
        let mut found = Vec::new();
        lengths(pattern, text, 0, &mut found);
        if longest { found.into_iter().max() } else { found.into_iter().min() }
    }

    fn replaced(pattern: &[char], text: &[char], all: bool) -> String {
        let (mut result, mut at, mut done) = (String::new(), 0, false);
        while at < text.len() {
            match tried(pattern, &text[at..], true).filter(|length| *length > 0 && !done) {
                Some(length) => {
                    result.push('X');
                    at += length;
                    done = !all;
                }
                None => {
                    result.push(text[at]);
                    at += 1;
                }
            }
        }
        result
    }

    proptest! {
        #[test]
        fn it_is_what_trying_everything_finds(pattern in "[ab*?]{0,6}", text in "[abc]{0,9}") {
            let compiled = Pattern::new(&pattern, '\\');
            let [pattern, text]: [Vec<char>; 2] = [pattern, text].map(|text| text.chars().collect());
            let reversed = |text: &[char]| -> Vec<char> { text.iter().rev().copied().collect() };
            for longest in [false, true] {
                let length = tried(&pattern, &text, longest).unwrap_or(0);
                prop_assert_eq!(compiled.trim_start(&text, longest), text[length..].iter().collect::<String>());
                let length = tried(&reversed(&pattern), &reversed(&text), longest).unwrap_or(0);
                let kept: String = text[..text.len() - length].iter().collect();
                prop_assert_eq!(compiled.trim_end(&text, longest), kept);
                prop_assert_eq!(compiled.replace(&text, "X", longest, 1000), Some(replaced(&pattern, &text, longest)));
            }
        }
    }

    #[test]
    fn long_values_take_no_longer_than_they_are() {
        let text: Vec<char> = "a".repeat(1 << 17).chars().collect();
        for (pattern, replaced) in [("*a*a*a*a*a*a*a*a*b", false), ("a*b", false), ("?*a*?", true), ("a*a", true)] {
            let pattern = Pattern::new(pattern, '\\');
            let result = pattern.replace(&text, "c", true, 1 << 20).expect("short");
            assert_eq!(result == "c", replaced);
            assert!(pattern.trim_end(&text, true).is_empty() == replaced);
        }
        assert_eq!(Pattern::new("a", '\\').replace(&text, "0123456789", true, 1 << 20), None);
        assert_eq!(Pattern::new("\\*", '\\').replace(&['*', 'a'], "x", true, 9).as_deref(), Some("xa"));
    }
}
