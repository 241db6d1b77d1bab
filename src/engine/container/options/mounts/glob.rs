//! `--mount type=glob`: paths of the host by pattern, as Go's `filepath.Glob`: `*`, `?`, classes and `\`, each within one
//! name; names that begin with a dot are no exception.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The paths that `pattern`, an absolute path, matches, sorted. What cannot be read matches nothing.
pub(super) fn paths(pattern: &str) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let items = compile(part).ok_or_else(|| Error::new("syntax error in pattern"))?;
        let mut next = Vec::new();
        for dir in found {
            match literal(&items) {
                Some(name) => next.push(dir.join(name)),
                None => next.extend(names(&dir).into_iter().filter(|n| matches(&items, n)).map(|n| dir.join(n))),
            }
        }
        next.retain(|path| path.symlink_metadata().is_ok());
        next.sort();
        found = next;
    }
    Ok(found)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[derive(Debug)]
enum Item {
    Char(char),
    One,
    Many,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

fn literal(items: &[Item]) -> Option<String> {
    items.iter().map(|item| if let Item::Char(c) = item { Some(*c) } else { None }).collect()
}

/// `None` when it is no pattern.
fn compile(text: &str) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        items.push(match c {
            '*' => Item::Many,
            '?' => Item::One,
            '\\' => Item::Char(chars.next()?),
            '[' => {
                let negated = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while ranges.is_empty() || chars.peek() != Some(&']') {
                    let mut one = || match chars.next()? {
                        '\\' => chars.next(),
                        '-' | ']' => None,
                        c => Some(c),
                    };
                    let low = one()?;
                    let high = if chars.next_if_eq(&'-').is_some() {
                        match chars.next()? {
                            '\\' => chars.next()?,
                            c => c,
                        }
                    } else {
                        low
                    };
                    ranges.push((low, high));
                }
                chars.next()?;
                Item::Class { negated, ranges }
            }
            c => Item::Char(c),
        });
    }
    Some(items)
}

/// Goes back to the last star only, which is enough without alternatives.
fn matches(items: &[Item], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut item) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        let fits = match items.get(item) {
            Some(Item::Many) => {
                star = Some((item, at));
                item += 1;
                continue;
            }
            Some(Item::Char(c)) => *c == name[at],
            Some(Item::One) => true,
            Some(Item::Class { negated, ranges }) => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&name[at])) != *negated
            }
            None => false,
        };
        match (fits, star) {
            (true, _) => (at, item) = (at + 1, item + 1),
            (false, Some((from, end))) => {
                star = Some((from, end + 1));
                (at, item) = (end + 1, from + 1);
            }
            (false, None) => return false,
        }
    }
    items[item..].iter().all(|item| matches!(item, Item::Many))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_gos() {
        for (pattern, name, fits) in [
            ("f*", "f", true),
            ("f*", "foo", true),
            ("*", ".hidden", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("[a-c]?", "bx", true),
            ("[^a-c]?", "bx", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("a*****************************************b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
        ] {
            assert_eq!(matches(&compile(pattern).expect(pattern), name), fits, "{pattern} {name}");
        }
        for bad in ["[", "[]", "[a-", "a\\", "[-a]", "[^]"] {
            assert!(compile(bad).is_none(), "{bad}");
        }
    }
}
