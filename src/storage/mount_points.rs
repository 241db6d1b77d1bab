//! The lowest layer of every container: the places that things are mounted on, for images that do not have them.
//!
//! Without it they would be made in the container's own directory at each start and removed at each end, and the
//! directories around them copied up. Whatever an image has at the same place hides what is here.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

const NAME: &str = "mountpoints";

/// Their parents come first.
const DIRECTORIES: [&str; 5] = ["dev", "etc", "proc", "run", "sys"];
const FILES: [&str; 4] = ["etc/hostname", "etc/hosts", "etc/resolv.conf", "run/.containerenv"];

/// The layer in a host's directory, made when it is not there yet. All in it belongs to the user.
pub(crate) fn layer(host_dir: &Path) -> Result<PathBuf> {
    let path = host_dir.join(NAME);
    if path.is_dir() {
        return Ok(path);
    }
    let partial = host_dir.join(format!("{NAME}.partial"));
    if let Err(e) = make(&partial).and_then(|()| std::fs::rename(&partial, &path)) {
        if !path.is_dir() {
            return Err(e).context(|| format!("cannot create {}", path.display()));
        }
        // Another process was faster, and this one may have begun anew after it. Whoever is in there too comes by here.
        let _ = std::fs::remove_dir_all(&partial);
    }
    Ok(path)
}

/// Goes on where another process, or an interrupted one, has got to.
fn make(partial: &Path) -> io::Result<()> {
    for dir in std::iter::once("").chain(DIRECTORIES) {
        let dir = partial.join(dir);
        existing(DirBuilder::new().mode(0o755).create(&dir))?;
        // Whatever the umask.
        std::fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
    }
    for file in FILES {
        let file = partial.join(file);
        existing(OpenOptions::new().write(true).create_new(true).mode(0o644).open(&file).map(drop))?;
        std::fs::set_permissions(&file, Permissions::from_mode(0o644))?;
    }
    Ok(())
}

fn existing(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_by_several() {
        let dir = std::env::temp_dir().join(format!("rpod-mount-points-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("is made");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| layer(&dir).expect("is made"));
            }
        });
        let path = layer(&dir).expect("is there");
        assert!(FILES.iter().all(|file| path.join(file).is_file()));
        assert_eq!(std::fs::read_dir(&dir).expect("lists").count(), 1);
        std::fs::remove_dir_all(&dir).expect("is removed");
    }
}
