//! `--runtime`: which runtime carries out a Spec.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// This one, and the one that [`super::crun`] can drive.
const OWN: &str = "rpod";
const CRUN: &str = "crun";

/// Where distributions put crun, beside PATH.
const PLACES: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin";

/// The program that `name` (or a path) stands for; `None` for rpod itself.
pub(crate) fn choose(name: &str) -> Result<Option<PathBuf>> {
    let file_name = Path::new(name).file_name().unwrap_or_default();
    if name == OWN {
        return Ok(None);
    }
    if file_name != CRUN {
        return Err(Error::new(format!("unknown runtime {name:?}")).hint("choose rpod, crun or the path of a crun"));
    }
    let candidates: Vec<PathBuf> = match name.contains('/') {
        true => vec![std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name))],
        false => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let places = std::env::split_paths(&path).chain(std::env::split_paths(PLACES));
            places.filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).collect()
        }
    };
    let executable = |file: &PathBuf| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    candidates.into_iter().find(executable).map(Some).ok_or_else(|| {
        Error::new(format!("the runtime {name:?} is not installed"))
            .hint("install the package crun, or leave --runtime out")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        assert_eq!(choose("rpod").expect("known"), None);
        for (name, words) in [
            ("nosuch", "unknown runtime"),
            ("", "unknown runtime"),
            ("runc", "unknown runtime"),
            ("/nosuch/crun", "not installed"),
        ] {
            let error = choose(name).expect_err(name);
            assert!(error.to_string().contains(words) && !error.hints().is_empty(), "{error}");
        }
    }
}
