//! The regular expressions that `--filter name=` takes. Podman's are Go's RE2; regex-lite speaks the same language but for
//! Unicode classes, and is as linear.

use regex_lite::Regex;

use crate::error::{Error, Result};

/// Found anywhere in a name unless anchored.
pub(crate) fn regex(text: &str) -> Result<Regex> {
    Regex::new(text).map_err(|error| Error::new(format!("cannot understand the pattern {text:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::regex;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("web", "my-web-1", true),
            ("^web", "my-web-1", false),
            ("^web.$", "web1", true),
            ("^(web|db)-[0-9]{1,2}$", "db-12", true),
            ("^(web|db)-[0-9]{1,2}$", "db-123", false),
            ("", "x", true),
            ("(a*)*$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", true),
        ] {
            assert_eq!(regex(pattern).expect(pattern).is_match(text), expected, "{pattern} {text}");
        }
        for bad in ["(a", "[a", "*", "a\\"] {
            assert!(regex(bad).is_err(), "{bad}");
        }
    }
}
