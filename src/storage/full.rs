//! What a full disk is short of, for the person who has to make room.

use std::error::Error as StdError;
use std::path::Path;

use rustix::fs::statvfs;
use rustix::io::Errno;

use super::layer::Source;
use crate::error::Error;

/// `error`, with what is needed in `dir` when there was no room for the layer.
pub(super) fn explain(error: Error, dir: &Path, source: Option<&Source>) -> Error {
    if !no_room(&error) {
        return error;
    }
    let place = dir.display();
    let needed = match source {
        Some(source) => format!("the layer has {} bytes compressed, and is larger unpacked", source.size),
        None => "the layer needs more".to_owned(),
    };
    match statvfs(dir) {
        Ok(stat) if stat.f_files > 0 && stat.f_favail == 0 => {
            error.hint(format!("the file system of {place} has no inode left"))
        }
        Ok(stat) => {
            error.hint(format!("{place} has {} bytes left; {needed}", stat.f_bavail.saturating_mul(stat.f_frsize)))
        }
        Err(_) => error.hint(format!("make room for {place}; {needed}")),
    }
}

fn no_room(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        let errno = match (error.downcast_ref::<Errno>(), error.downcast_ref::<std::io::Error>()) {
            (Some(errno), _) => Some(*errno),
            (None, Some(io)) => Errno::from_io_error(io),
            (None, None) => None,
        };
        if matches!(errno, Some(Errno::NOSPC | Errno::DQUOT)) {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Context;

    #[test]
    fn only_a_full_disk_is_explained() {
        let dir = std::env::temp_dir();
        for (errno, hints) in [(Errno::NOSPC, 1), (Errno::DQUOT, 1), (Errno::IO, 0)] {
            let error =
                Err::<(), _>(errno).context(|| "cannot write a").context(|| "cannot unpack").expect_err("fails");
            assert_eq!(explain(error, &dir, None).hints().len(), hints, "{errno}");
        }
        let io = Error::wrap("cannot write a", std::io::Error::from(Errno::NOSPC));
        assert!(explain(io, &dir, None).hints()[0].starts_with(&format!("{} has ", dir.display())));
    }
}
