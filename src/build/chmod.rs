//! `--chmod`: octal, or symbolic as chmod(1) has it (`u=rwX,go=rX`).

use crate::error::{Error, Result};

/// A change of mode bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chmod {
    Octal(u32),
    Symbolic(Vec<Clause>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clause {
    /// Bits of the classes it is about: 0700, 0070, 0007.
    who: u32,
    operator: char,
    /// For all three classes.
    bits: u32,
    /// The class whose permissions are taken (`g=u`): how far its bits are to the left.
    copied: Option<u32>,
    /// `X`: execution for directories and what can be executed already.
    conditional: bool,
}

impl Chmod {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let bad = || {
            Error::new(format!("invalid chmod parameter: {text:?}"))
                .hint("write an octal number between 0 and 07777, or a change such as u=rwX,go=rX")
        };
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Self::Octal).ok_or_else(bad);
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            clauses.extend(Clause::parse(part).ok_or_else(bad)?);
        }
        Ok(Self::Symbolic(clauses))
    }

    pub(crate) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(clauses) => clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_directory)),
        }
    }
}

impl Clause {
    /// Reads `WHO` and one or more of `+PERMISSIONS`, `-PERMISSIONS`, `=PERMISSIONS`.
    fn parse(text: &str) -> Option<Vec<Self>> {
        let at = text.find(['+', '-', '='])?;
        let mut who = 0;
        for class in text[..at].chars() {
            who |= match class {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => return None,
            };
        }
        let who = if at == 0 { 0o7777 } else { who };
        let mut clauses: Vec<Self> = Vec::new();
        for c in text[at..].chars() {
            if matches!(c, '+' | '-' | '=') {
                clauses.push(Self { who, operator: c, bits: 0, copied: None, conditional: false });
                continue;
            }
            let clause = clauses.last_mut()?;
            match c {
                'r' => clause.bits |= 0o444,
                'w' => clause.bits |= 0o222,
                'x' => clause.bits |= 0o111,
                's' => clause.bits |= 0o6000,
                't' => clause.bits |= 0o1000,
                'X' => clause.conditional = true,
                'u' => clause.copied = Some(6),
                'g' => clause.copied = Some(3),
                'o' => clause.copied = Some(0),
                _ => return None,
            }
        }
        Some(clauses)
    }

    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let executable = is_directory || mode & 0o111 != 0;
        let copied = self.copied.map_or(0, |shift| (mode >> shift & 0o7) * 0o111);
        let bits = (self.bits | copied | if self.conditional && executable { 0o111 } else { 0 }) & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => mode & !(self.who & 0o777) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (text, before, directory, after) in [
            ("755", 0o644, false, 0o755),
            ("0644", 0o755, true, 0o644),
            ("4755", 0, false, 0o4755),
            ("u+x", 0o644, false, 0o744),
            ("a-w", 0o666, false, 0o444),
            ("+x", 0o644, false, 0o755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("g+s", 0o755, true, 0o2755),
            ("g=u", 0o640, false, 0o660),
            ("o=g-w", 0o664, false, 0o664),
            ("u+x-w,go=", 0o644, false, 0o500),
        ] {
            assert_eq!(Chmod::parse(text).expect(text).apply(before, directory), after, "{text}");
        }
        for bad in ["", "8", "77777", "u", "u+q", "uq+x", "z+x", "0x1ff"] {
            assert!(Chmod::parse(bad).is_err(), "{bad}");
        }
    }
}
