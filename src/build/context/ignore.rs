//! `.dockerignore`: which files of the context are not there (moby/patternmatcher).
//!
//! The last pattern that matches a path, or a directory above it, decides; `!` takes back.

use crate::glob::Glob;

/// The patterns of one file. Empty: everything is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ignore {
    patterns: Vec<Pattern>,
    has_exceptions: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    glob: Glob,
    literal: Option<String>,
    exception: bool,
}

/// What is known of a directory on the way down: which patterns match it or one above it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Above(Vec<bool>);

impl Ignore {
    /// Reads an ignore file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self::of(text.lines().filter(|line| !line.starts_with('#')))
    }

    /// Of patterns one by one (`--exclude`).
    pub(crate) fn of<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut ignore = Self::default();
        for line in patterns {
            let line = line.trim();
            let (exception, path) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            if line.is_empty() {
                continue;
            }
            if path.is_empty() {
                return Err("illegal exclusion pattern: \"!\"".to_owned());
            }
            let cleaned = clean(path);
            let cleaned = cleaned.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&cleaned);
            let glob = Glob::ignore(cleaned)?;
            let literal = glob.literal();
            ignore.has_exceptions |= exception;
            ignore.patterns.push(Pattern { glob, literal, exception });
        }
        Ok(ignore)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether `path` (relative, without `.` and `..`) is left out; and what its children have to know.
    pub(crate) fn decide(&self, path: &str, above: &Above) -> (bool, Above) {
        let mut matched = Vec::with_capacity(self.patterns.len());
        let mut ignored = false;
        for (at, pattern) in self.patterns.iter().enumerate() {
            let matches = above.0.get(at).copied().unwrap_or(false)
                || match &pattern.literal {
                    Some(literal) => literal == path,
                    None => pattern.glob.matches(path),
                };
            matched.push(matches);
            if matches {
                ignored = !pattern.exception;
            }
        }
        (ignored, Above(matched))
    }

    /// Whether something below an ignored directory may be there nevertheless.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.has_exceptions
    }
}

/// Go's `filepath.Clean`.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(file: &str, path: &str) -> bool {
        let ignore = Ignore::parse(file).expect(file);
        let mut above = Above::default();
        let mut decision = false;
        let mut walked = String::new();
        for part in path.split('/') {
            walked = if walked.is_empty() { part.to_owned() } else { format!("{walked}/{part}") };
            (decision, above) = ignore.decide(&walked, &above);
        }
        decision
    }

    #[test]
    fn the_last_match_decides() {
        for (file, path, wanted) in [
            ("a", "a", true),
            ("a", "a/b", true),
            ("a", "b/a", false),
            ("/a", "a", true),
            ("a/", "a/b", true),
            ("./a", "a", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md", "x.md", true),
            ("!README.md\n*.md", "README.md", true),
            ("*\n!a", "a", false),
            ("*\n!a", "a/b", false),
            ("*\n!a/b", "a/b", false),
            ("*\n!a/b", "a/c", true),
            ("a\n!a/b", "a/b", false),
            ("a\n!a/b\na/b/c", "a/b/c", true),
            ("**/node_modules", "x/y/node_modules/z", true),
            ("**", "a", true),
            ("**\n!**/*.go", "x/y.go", false),
            ("# a\na", "a", true),
            (" # a", "# a", true),
            ("  a  ", "a", true),
            ("../a", "a", false),
            ("a/../b", "b", true),
            ("*/temp*", "d/tempx", true),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("! a\nb", "b", true),
            ("*\n! a", "a", false),
        ] {
            assert_eq!(ignored(file, path), wanted, "{file:?} {path}");
        }
        assert!(Ignore::parse("!").is_err() && Ignore::parse("[").is_err());
        assert!(Ignore::parse("\n# x\n").expect("empty").is_empty());
    }

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, wanted) in
            [("", "."), ("a//b/./c/..", "a/b"), ("/..", "/"), ("/../a", "/a"), ("../a", "../a"), ("a/../..", "..")]
        {
            assert_eq!(clean(path), wanted, "{path}");
        }
    }
    proptest::proptest! {
        #[test]
        fn nothing_panics(file in "[!*?\\[\\]\\\\a-b/. #\n-]{0,30}", path in "[a-b.]{1,3}(/[a-b.]{1,3}){0,4}") {
            if let Ok(ignore) = Ignore::parse(&file) {
                let mut above = Above::default();
                for part in path.split('/') {
                    above = ignore.decide(part, &above).1;
                }
            }
        }

        #[test]
        fn a_clean_path_goes_up_only_at_its_beginning(path in "[a-b./]{0,20}") {
            let cleaned = clean(&path);
            proptest::prop_assert_eq!(&clean(&cleaned), &cleaned);
            let names = cleaned.split('/').skip_while(|name| *name == "..");
            proptest::prop_assert!(names.into_iter().all(|name| name != ".."), "{}", cleaned);
            proptest::prop_assert!(!path.starts_with('/') || cleaned.split('/').all(|name| name != ".."));
        }
    }
}
