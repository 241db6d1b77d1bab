//! The build context: what is in it, and how it is told apart from what it was.

pub(crate) mod digest;
pub(crate) mod ignore;
mod open;
pub(crate) mod select;

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

pub(crate) use open::{Opened, named, open};

use self::ignore::Ignore;
use self::select::Root;
use crate::error::{Error, Result};

/// A directory that COPY and ADD take from.
#[derive(Debug)]
pub(crate) struct Context {
    root: Option<Root>,
    path: PathBuf,
    ignore: Ignore,
    /// It was fetched for this build, and goes with it.
    temporary: Option<PathBuf>,
}

impl Context {
    /// A context with nothing in it.
    pub(crate) fn nothing() -> Self {
        Self { root: None, path: PathBuf::new(), ignore: Ignore::default(), temporary: None }
    }

    pub(crate) fn directory(path: PathBuf, temporary: Option<PathBuf>) -> Result<Self> {
        Ok(Self { root: Some(Root::open(&path)?), path, ignore: Ignore::default(), temporary })
    }

    /// Messages call it by the name that was given to it.
    pub(crate) fn called(self, name: &str) -> Self {
        let mut context = self;
        context.root = context.root.take().map(|root| root.called(format!("the build context {name}")));
        context
    }

    pub(crate) fn set_ignore(&mut self, ignore: Ignore) {
        self.ignore = ignore;
    }

    pub(crate) fn root(&self) -> Result<&Root> {
        self.root.as_ref().ok_or_else(|| {
            Error::new("there is no build context to take files from").hint("name a directory: rpod build DIRECTORY")
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file of instructions that is looked for by its name. In a context that was fetched, whose links are somebody
    /// else's, no link leads out; nowhere is a pipe or a device waited for.
    pub(super) fn document(&self, path: &Path) -> std::io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let inside = path.strip_prefix(&self.path).ok().filter(|_| self.temporary.is_some());
        let file: File = match (&self.root, inside) {
            (Some(root), Some(inside)) => match root.resolve(inside.as_os_str().as_bytes())? {
                Some((found, _)) => root.reopen(&found, flags)?,
                None => return Err(std::io::ErrorKind::NotFound.into()),
            },
            _ => rustix::fs::open(path, flags, rustix::fs::Mode::empty())?,
        }
        .into();
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(std::io::Error::other("it is no regular file")),
        }
    }

    pub(crate) fn ignore(&self) -> &Ignore {
        &self.ignore
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(path) = self.temporary.take() {
            // What is left here is found and removed by the next build.
            let _ = crate::storage::remove_path(&path);
        }
    }
}
