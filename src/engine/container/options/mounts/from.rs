//! `--volumes-from CONTAINER[:OPTIONS]`.

use super::words::{self, Kind};
use crate::error::{Error, Result};

/// Whose volumes, and what is different about them here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumesFrom {
    /// A name or an id.
    pub container: String,
    /// In the place of every volume's own options: `ro` or `rw`, `z`.
    pub options: Option<Vec<String>>,
}

impl VolumesFrom {
    /// What a volume (or a directory) with these options has in the new container.
    pub(crate) fn options(&self, own: &[String], volume: bool) -> Result<Vec<String>> {
        let Some(words) = &self.options else { return Ok(own.to_vec()) };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        words::options(&words, if volume { Kind::Volume } else { Kind::Bind })
    }
}

pub(crate) fn volumes_from(text: &str) -> Result<VolumesFrom> {
    let Some((container, words)) = text.split_once(':') else {
        return Ok(VolumesFrom { container: text.to_owned(), options: None });
    };
    let mut options: Vec<String> = Vec::new();
    for word in words.split(',') {
        let access = |word: &str| word == "ro" || word == "rw";
        match word {
            "ro" | "rw" if options.iter().any(|known| access(known)) => {
                return Err(Error::new("cannot set ro or rw options more than once"));
            }
            "z" if options.iter().any(|known| known == "z") => {
                return Err(Error::new("cannot set :z more than once in mount options"));
            }
            "ro" | "rw" | "z" => options.push(word.to_owned()),
            _ => {
                return Err(Error::new(format!(
                    "invalid option {word:?} specified - volumes from another container can only use z,ro,rw options"
                )));
            }
        }
    }
    Ok(VolumesFrom { container: container.to_owned(), options: Some(options) })
}
