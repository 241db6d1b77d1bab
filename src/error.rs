//! The one error type: what failed, why, and what the person can do about it.
//!
//! Printed as `Error: <what>: <why>` followed by one `hint:` line per hint (see `output::report`).
//! `what` is a phrase for people ("cannot pull docker.io/library/alpine:3.20"), the source chain says why.

use std::error::Error as StdError;
use std::fmt;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What an error means to the caller; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// rpod itself failed, or the request made no sense (exit code 125).
    #[default]
    General,
    /// The container's program exists but could not be executed (exit code 126).
    CannotInvoke,
    /// The container's program does not exist in its root file system (exit code 127).
    ProgramNotFound,
    /// A container, image or volume of that name does not exist (125; verbs such as `rm` and `exists` answer 1).
    NoSuchObject,
    /// Another process or object is in the way: a name or a port is taken, the container is running (125; `rm` answers 2).
    Conflict,
}

impl Kind {
    /// The process exit code that Docker and Podman document for this kind.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::General | Self::NoSuchObject | Self::Conflict => 125,
            Self::CannotInvoke => 126,
            Self::ProgramNotFound => 127,
        }
    }
}

/// An error for people. Cheap to move, expensive to make: never on a path that succeeds.
#[derive(Debug)]
pub(crate) struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    what: String,
    source: Option<Source>,
    hints: Vec<String>,
}

impl Error {
    /// An error that is its own reason.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind: Kind::General, what: what.into(), source: None, hints: Vec::new() }))
    }

    /// `what` failed because of `source`. The kind and hints of a wrapped [`Error`] are kept.
    pub(crate) fn wrap(what: impl Into<String>, source: impl Into<Source>) -> Self {
        let source = source.into();
        let (kind, hints) = match source.downcast_ref::<Self>() {
            Some(inner) => (inner.0.kind, inner.0.hints.clone()),
            None => (Kind::General, Vec::new()),
        };
        Self(Box::new(Inner { kind, what: what.into(), source: Some(source), hints }))
    }

    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Adds a line that says what to do. A full sentence without a final full stop.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    pub(crate) fn hints(&self) -> &[String] {
        &self.0.hints
    }
}

/// The whole chain on one line, `what: why: why`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        let mut source = self.0.source.as_deref().map(|s| s as &(dyn StdError + 'static));
        while let Some(error) = source {
            write!(f, ": {error}")?;
            // An Error's own Display has already written its chain.
            source = if error.is::<Self>() { None } else { error.source() };
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

/// Says what was being done when a lower-level error came up.
pub(crate) trait Context<T> {
    /// Wraps the error; the closure runs only on failure.
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Source>> Context<T> for std::result::Result<T, E> {
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|source| Error::wrap(what(), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_joins_the_chain_once() {
        let io = std::io::Error::from_raw_os_error(2);
        let inner = Error::wrap("cannot open a", io).with_kind(Kind::NoSuchObject).hint("make it");
        let outer = Error::wrap("cannot start b", inner);
        assert_eq!(outer.to_string(), "cannot start b: cannot open a: No such file or directory (os error 2)");
        assert_eq!(outer.kind(), Kind::NoSuchObject);
        assert_eq!(outer.hints(), ["make it"]);
    }
}
