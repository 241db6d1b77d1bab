//! `--ipc`, and what `--shm-size` has to do with it.

use serde::{Deserialize, Serialize};

use super::{NamespaceMode, values};
use crate::error::{Error, Result};

/// What becomes of the container's own IPC namespace and of its /dev/shm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sharing {
    /// Others may join it.
    #[default]
    Shareable,
    Private,
    /// There is no /dev/shm, and nobody joins.
    None,
}

impl Sharing {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
    pub(crate) fn is_shareable(&self) -> bool {
        *self == Self::Shareable
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Shareable => "shareable",
            Self::Private => "private",
            Self::None => "none",
        }
    }
}

pub(crate) fn ipc(text: &str, shm_size: Option<&str>) -> Result<(NamespaceMode, Sharing)> {
    let sharing = match text {
        "private" => Sharing::Private,
        "none" => Sharing::None,
        _ => Sharing::Shareable,
    };
    let mode = match text {
        "shareable" | "none" => NamespaceMode::Private,
        text => values::namespace("ipc", text)?,
    };
    let own = mode == NamespaceMode::Private && sharing != Sharing::None || matches!(mode, NamespaceMode::Path(_));
    if !own && shm_size.is_some_and(|size| !size.is_empty()) {
        return Err(Error::new(format!(
            "invalid config provided: cannot set shmsize when running in the {{{} }} IPC Namespace",
            text.replacen(':', " ", 1)
        )));
    }
    Ok((mode, sharing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let read = |text, size| ipc(text, size).map_err(|e| e.to_string());
        assert_eq!(read("", Some("1m")), Ok((NamespaceMode::Private, Sharing::Shareable)));
        assert_eq!(read("private", None), Ok((NamespaceMode::Private, Sharing::Private)));
        assert_eq!(read("none", None), Ok((NamespaceMode::Private, Sharing::None)));
        assert_eq!(read("container:x", None), Ok((NamespaceMode::Container("x".into()), Sharing::Shareable)));
        for (text, shown) in [("host", "{host }"), ("none", "{none }"), ("container:x", "{container x }")] {
            let message = format!("cannot set shmsize when running in the {shown} IPC Namespace");
            assert!(read(text, Some("1m")).is_err_and(|e| e.ends_with(&message)), "{text}");
        }
        assert_eq!(read("foo", None), Err("unrecognized namespace mode foo passed".into()));
    }
}
