//! `-v [SOURCE:]DESTINATION[:OPTIONS]`.

use std::path::PathBuf;

use super::words::{self, CHOWN, Kind};
use super::{Keep, MountRequest, OverlaySource, check_name, destination, host_path};
use crate::error::{Context, Error, Result};

pub(super) fn volume(text: &str) -> Result<MountRequest> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, place, options) = match parts[..] {
        [place] => (None, place, ""),
        [source, place] => (Some(source), place, ""),
        [source, place, options] => (Some(source), place, options),
        _ => {
            return Err(Error::new(format!("{text}: incorrect volume format, should be [host-dir:]ctr-dir[:option]")));
        }
    };
    let destination = destination(place)?;
    let words: Vec<&str> = options.split(',').filter(|word| !word.is_empty()).collect();
    // As with Podman and Docker, what begins with a slash or a dot is a path, anything else a name.
    let source = match source {
        Some("") => {
            return Err(Error::new("host directory cannot be empty").hint(format!("in --volume {text}")));
        }
        Some(path) if path.starts_with(['/', '.']) => Source::Path(host_path(path)?),
        Some(name) => {
            check_name(name)?;
            Source::Volume(Some(name.to_owned()))
        }
        None => Source::Volume(None),
    };
    match source {
        Source::Path(path) if words.contains(&"O") => overlay(OverlaySource::Directory(path), destination, &words),
        Source::Volume(Some(name)) if words.contains(&"O") => overlay(OverlaySource::Volume(name), destination, &words),
        Source::Path(source) => {
            Ok(MountRequest::Bind { source, destination, options: words::options(&words, Kind::Bind)? })
        }
        Source::Volume(name) => Ok(MountRequest::Volume {
            name,
            destination,
            options: words::options(&words, Kind::Volume)?,
            copy: !words.contains(&"nocopy"),
            subpath: None,
        }),
    }
}

enum Source {
    Path(PathBuf),
    Volume(Option<String>),
}

/// `O` goes with `U`, `upperdir=` and `workdir=` only.
fn overlay(source: OverlaySource, destination: String, words: &[&str]) -> Result<MountRequest> {
    let (mut upper, mut work) = (None, None);
    let mut plain = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some(("upperdir", path)) => upper = Some(directory(path)?),
            Some(("workdir", path)) => work = Some(directory(path)?),
            _ => plain.push((*word).to_owned()),
        }
    }
    words::check_exclusive(&plain)?;
    if plain.iter().any(|word| word != "O" && word != CHOWN) {
        return Err(Error::new("can't use 'O' with other options"));
    }
    if let OverlaySource::Directory(path) = &source
        && !path.is_dir()
    {
        return Err(Error::new(format!("cannot mount an overlay over {}: it is not a directory", path.display())));
    }
    let keep = match (upper, work) {
        (Some(upper), Some(work)) => Some(Keep { upper, work }),
        (None, None) => None,
        _ => return Err(Error::new("must set both `upperdir` and `workdir`")),
    };
    Ok(MountRequest::Overlay { source, destination, options: plain, keep })
}

fn directory(path: &str) -> Result<PathBuf> {
    let path = std::path::absolute(path).context(|| format!("cannot make {path:?} an absolute path"))?;
    match path.is_dir() {
        true => Ok(path),
        false => Err(Error::new(format!("{} is not a directory that is there", path.display()))),
    }
}
