//! The keys that leave a container running: `ctrl-p,ctrl-q` unless told otherwise.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// What Docker and Podman use when nothing is asked for.
pub(crate) const DEFAULT: &str = "ctrl-p,ctrl-q";

/// Longest sequence; what is held back of the input while one may be under way.
pub(super) const LONGEST: usize = 32;

/// Bytes of a sequence such as `ctrl-p,ctrl-q` or `a,ctrl-[`; none for an empty text, which switches detaching off.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
    keys.filter(|keys| keys.len() <= LONGEST).ok_or_else(|| {
        Error::new(format!("invalid detach keys {text:?}"))
            .hint("give a comma-separated list of single characters and of ctrl-X, where X is one of a-z @ [ \\ ] ^ _")
    })
}

fn key(text: &str) -> Option<u8> {
    if let [byte] = text.as_bytes() {
        return Some(*byte);
    }
    match text.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => Some(letter.to_ascii_uppercase() - b'@'),
        _ => None,
    }
}

/// Whether the sequence was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    GoOn,
    Detach,
}

/// Looks for the sequence in a stream of input; what turns out not to be it is passed on.
#[derive(Debug)]
pub(crate) struct Detacher<'a> {
    keys: &'a [u8],
    matched: usize,
}

impl<'a> Detacher<'a> {
    pub(crate) fn new(keys: &'a [u8]) -> Self {
        Self { keys, matched: 0 }
    }

    /// What of `data`, and of what was held back before, is input.
    pub(crate) fn filter<'d>(&mut self, data: &'d [u8]) -> (Cow<'d, [u8]>, Step) {
        if self.keys.is_empty() || (self.matched == 0 && !data.contains(&self.keys[0])) {
            return (data.into(), Step::GoOn);
        }
        let mut passed = Vec::with_capacity(data.len() + self.matched);
        for byte in data {
            while self.matched > 0 && *byte != self.keys[self.matched] {
                // The longest shorter beginning that still fits, as in every string search.
                let shorter = (0..self.matched).rev().find(|n| self.keys[..self.matched].ends_with(&self.keys[..*n]));
                let shorter = shorter.unwrap_or(0);
                passed.extend_from_slice(&self.keys[..self.matched - shorter]);
                self.matched = shorter;
            }
            if *byte != self.keys[self.matched] {
                passed.push(*byte);
                continue;
            }
            self.matched += 1;
            if self.matched == self.keys.len() {
                return (passed.into(), Step::Detach);
            }
        }
        (passed.into(), Step::GoOn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences() {
        for (text, expected) in [
            ("ctrl-p,ctrl-q", Some(&b"\x10\x11"[..])),
            ("a", Some(b"a")),
            ("ctrl-@,ctrl-[,ctrl-_", Some(b"\x00\x1b\x1f")),
            ("", Some(b"")),
            ("ctrl-P", None),
            ("ctrl-", None),
            ("ab", None),
            ("a,,b", None),
        ] {
            assert_eq!(parse(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn only_the_sequence_is_swallowed() {
        for (keys, reads, input, detached) in [
            (&b"PQ"[..], &["abPQc"][..], "ab", true),
            (b"PQ", &["aP", "Qb"], "a", true),
            (b"PQ", &["aP", "b"], "aPb", false),
            (b"PQ", &["PPQ"], "P", true),
            (b"PPQ", &["PPPQ"], "P", true),
            (b"PPQ", &["PPxPPQ"], "PPx", true),
            (b"", &["PQ"], "PQ", false),
        ] {
            let mut detacher = Detacher::new(keys);
            let (mut seen, mut end) = (Vec::new(), false);
            for read in reads {
                let (data, step) = detacher.filter(read.as_bytes());
                seen.extend_from_slice(&data);
                end |= step == Step::Detach;
            }
            assert_eq!((String::from_utf8_lossy(&seen).as_ref(), end), (input, detached), "{reads:?}");
        }
    }
}
