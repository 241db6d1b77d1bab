//! Passwords in URLs: what is shown or kept for others does not hold them (BuildKit's util/urlutil).

use std::borrow::Cow;

use crate::error::Error;

const MASK: &str = "xxxxx";
const SCHEME: &str = "://";

/// The text with user names and passwords of its URLs masked. A name alone is a token where the Web is spoken, but no
/// secret in `ssh://git@host`.
pub(crate) fn urls(text: &str) -> Cow<'_, str> {
    let mut result = String::new();
    let mut kept = 0;
    for (at, _) in text.match_indices(SCHEME) {
        let start = at + SCHEME.len();
        if start < kept {
            continue;
        }
        let Some(length) = user_information(&text[start..]) else { continue };
        let is_web = ["http", "https"].iter().any(|scheme| ends_with_word(&text[..at], scheme));
        let masked = match text[start..start + length].split_once(':') {
            Some(_) if is_web => format!("{MASK}:{MASK}"),
            Some((name, _)) => format!("{name}:{MASK}"),
            None if is_web => MASK.to_owned(),
            None => continue,
        };
        result.push_str(&text[kept..start]);
        result.push_str(&masked);
        kept = start + length;
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    result.push_str(&text[kept..]);
    Cow::Owned(result)
}

/// How long the part in front of the `@` is.
fn user_information(rest: &str) -> Option<usize> {
    let word = &rest[..rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len())];
    let authority = &word[..word.find(['/', '?', '#', '\\']).unwrap_or(word.len())];
    // No port: a password that should have been escaped.
    let is_cut = authority.rsplit_once(':').is_some_and(|(_, port)| !port.bytes().all(|b| b.is_ascii_digit()));
    authority.rfind('@').or_else(|| word.rfind('@').filter(|_| is_cut && !authority.ends_with(']')))
}

fn ends_with_word(text: &str, word: &str) -> bool {
    let Some(at) = text.len().checked_sub(word.len()) else { return false };
    text.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(word))
        && !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// An error that may be shown.
pub(crate) fn error(error: Error) -> Error {
    let text = error.to_string();
    let hints: Vec<Cow<'_, str>> = error.hints().iter().map(|hint| urls(hint)).collect();
    match urls(&text) {
        Cow::Borrowed(_) if hints.iter().all(|hint| matches!(hint, Cow::Borrowed(_))) => error,
        text => {
            let shown = Error::new(text).with_kind(error.kind());
            hints.into_iter().fold(shown, Error::hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_masked() {
        for (text, shown) in [
            ("ADD http://joe:pw@h/x /y", "ADD http://xxxxx:xxxxx@h/x /y"),
            ("HTTPS://token@h/x.git#a:b", "HTTPS://xxxxx@h/x.git#a:b"),
            ("https://a:b@c@h", "https://xxxxx:xxxxx@h"),
            ("https://a:b/c@h/x", "https://xxxxx:xxxxx@h/x"),
            ("ssh://git@h/x", "ssh://git@h/x"),
            ("ssh://git:pw@h/x and http://a:b@i", "ssh://git:xxxxx@h/x and http://xxxxx:xxxxx@i"),
            ("git@h:x", "git@h:x"),
            ("http://h:80/@scope/p@1 me@x", "http://h:80/@scope/p@1 me@x"),
            ("http://[::1]:80/a@b http://[::1]/a@b", "http://[::1]:80/a@b http://[::1]/a@b"),
            ("[\"http://h\",\"a@b\"]", "[\"http://h\",\"a@b\"]"),
            ("http://$U:${P:-x}@h/", "http://xxxxx:xxxxx@h/"),
            ("http://ä:ö@ü http://é", "http://xxxxx:xxxxx@ü http://é"),
            ("plain", "plain"),
        ] {
            assert_eq!(urls(text), shown);
        }
        let wrapped = Error::wrap("cannot a http://x:y@h", Error::new("http://z@h")).hint("http://q:r@h");
        let shown = error(wrapped);
        assert_eq!(shown.to_string(), "cannot a http://xxxxx:xxxxx@h: http://xxxxx@h");
        assert_eq!(shown.hints(), ["http://xxxxx:xxxxx@h"]);
    }
}
