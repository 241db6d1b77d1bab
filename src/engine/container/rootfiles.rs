//! Reading files of a root file system that is not mounted: its directories one above the other.

use std::io::Read;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::resolve::RootFiles;
use crate::error::{Error, Result};

/// Directories, the top first. Links are followed inside each of them only.
pub(super) struct Directories(pub Vec<PathBuf>);

impl Directories {
    fn open(&self, path: &str) -> Result<Option<std::fs::File>> {
        let relative = path.trim_start_matches('/');
        for directory in &self.0 {
            let failed = |e: Errno| Error::wrap(format!("cannot read {path} of the image"), std::io::Error::from(e));
            let root =
                rustix::fs::openat(CWD, directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .map_err(failed)?;
            // Linux 5.6. No device or FIFO of the image's may hang us.
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            match openat2(&root, relative, flags, Mode::empty(), resolve) {
                Ok(file) => return Ok(Some(file.into())),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::NXIO) => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(None)
    }
}

impl RootFiles for Directories {
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Ok(None);
        }
        let mut content = Vec::new();
        match file.take(limit).read_to_end(&mut content) {
            Ok(_) => Ok(Some(content)),
            Err(e) => Err(Error::wrap(format!("cannot read {path} of the image"), e)),
        }
    }

    fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.open(path)?.is_some())
    }
}
